package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/realmgate/realmgate/pkg/httpx"
)

var get = []byte("GET ")

// errStale says that the service had closed a connection before the request was written: nothing
// was sent.
var errStale = errors.New("connection closed by the service before a request was written")

// dialTimeout bounds a connection's beginning, and its handshake once more.
const dialTimeout = 2 * time.Second

// dialError says that no connection came about: nothing was sent.
type dialError struct{ error }

func (e *dialError) Unwrap() error { return e.error }

func isDialError(err error) bool {
	var d *dialError
	return errors.As(err, &d)
}

// dial opens a connection to an address of the service, who must prove to be it when there are
// certificates. Patience is what is left of the request's; 0: the connection is for whoever comes
// first.
func (u *upstream) dial(addr string, patience time.Duration) (net.Conn, error) {
	if patience <= 0 {
		patience = 2 * dialTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	dialer := net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	tcp, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, &dialError{err}
	}
	c := newUpstreamConn(tcp, u)
	if u.files == nil {
		return c, nil
	}
	secure := u.files.Client(tcp, u.host)
	ctx, cancel = context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = tcp.Close()
		return nil, &dialError{err}
	}
	c.Conn = secure // raw stays the socket's: bytes that wait there between two answers are the end of the connection
	return c, nil
}

// upstreamConn is a kept connection to a service. It looks whether the service has closed it before
// a request is written to it, and lets an answer that keeps coming take longer than one that does
// not come at all.
type upstreamConn struct {
	net.Conn
	raw     syscall.RawConn // nil when the system cannot be asked
	of      *upstream
	patient time.Duration
	// used: an answer was read, so that the next write begins a request on a kept connection. Only
	// one goroutine at a time has a connection.
	used, reading bool
	begun         bool // a part of the request was written
	deadlines     httpx.Deadlines
}

// SetDeadline, SetReadDeadline and SetWriteDeadline move deadlines where that makes a difference.
func (c *upstreamConn) SetDeadline(t time.Time) error      { return c.deadlines.Set(c.Conn, t) }
func (c *upstreamConn) SetReadDeadline(t time.Time) error  { return c.deadlines.SetRead(c.Conn, t) }
func (c *upstreamConn) SetWriteDeadline(t time.Time) error { return c.deadlines.SetWrite(c.Conn, t) }

func newUpstreamConn(tcp net.Conn, of *upstream) *upstreamConn {
	c := &upstreamConn{Conn: tcp, of: of, patient: of.cfg.Timeout, deadlines: httpx.Deadlines{Timeout: of.cfg.Timeout}}
	if s, ok := tcp.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			c.raw = raw
		}
	}
	return c
}

// Write sends p, unless p begins a request that must not be sent twice and the service has closed
// the connection since its last answer: then errStale. A request that changes nothing is just sent,
// and sent again when that fails: asking the kernel first costs as much as sending. Because it is
// sent again but once, the kernel is asked while any is: the connections to all addresses may have
// ended.
func (c *upstreamConn) Write(p []byte) (int, error) {
	if c.used {
		c.used, c.reading = false, false
		if c.raw != nil && (!bytes.HasPrefix(p, get) || c.of.resending.Load() > 0) && closedByPeer(c.raw) {
			return 0, errStale
		}
	}
	n, err := c.Conn.Write(p)
	if err != nil && n == 0 && !c.begun {
		return 0, fmt.Errorf("%w: %w", errStale, err)
	}
	c.begun = true
	return n, err
}

// Read reads a part of an answer. The deadline that was set holds for the first part; every later
// one has the same time again.
func (c *upstreamConn) Read(p []byte) (int, error) {
	if c.reading {
		if err := c.SetReadDeadline(time.Now().Add(c.patient)); err != nil {
			return 0, err
		}
	}
	c.used, c.reading, c.begun = true, true, false
	return c.Conn.Read(p)
}
