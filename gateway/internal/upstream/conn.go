package upstream

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

// errStale says that the service had closed a connection before the request was written.
var errStale = errors.New("connection closed by the service before a request was written")

// dialTimeout bounds the opening of a connection, and then its TLS handshake.
const dialTimeout = 2 * time.Second

// dialError says that no connection could be opened, so nothing was sent.
type dialError struct{ error }

func (e *dialError) Unwrap() error { return e.error }

func isDialError(err error) bool {
	var d *dialError
	return errors.As(err, &d)
}

// dial opens a kept connection to an address of the service. timeout is the rest of the request's,
// or 0 when no request waits for the connection.
func (u *Upstream) dial(addr string, timeout time.Duration) (net.Conn, error) {
	tcp, secure, err := u.connect(addr, timeout)
	if err != nil {
		return nil, err
	}
	c := newConn(tcp, u) // raw is the socket's: bytes that wait there between two answers are its end
	c.Conn = secure
	return c, nil
}

// connect opens a connection to an address of the service, which must have a valid certificate when
// there are any. It returns the socket, and what to read and write through.
func (u *Upstream) connect(addr string, timeout time.Duration) (tcp, secure net.Conn, err error) {
	if timeout <= 0 {
		timeout = 2 * dialTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	dialer := net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	if tcp, err = dialer.DialContext(ctx, "tcp", addr); err != nil {
		return nil, nil, &dialError{err}
	}
	if u.files == nil {
		return tcp, tcp, nil
	}
	client := u.files.Client(tcp, u.host)
	ctx, cancel = context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := client.HandshakeContext(ctx); err != nil {
		_ = tcp.Close()
		return nil, nil, &dialError{err}
	}
	return tcp, client, nil
}

// conn is a kept connection to a service. Before a request is written to it, it checks whether the
// service has closed it; an answer that keeps coming may take longer than one that does not come at
// all.
type conn struct {
	net.Conn
	raw         syscall.RawConn // nil when the system offers none
	upstream    *Upstream
	readTimeout time.Duration
	// used: an answer was read, so that the next write begins a request on a kept connection. Only
	// one goroutine at a time has a connection.
	used, reading bool
	begun         bool // a part of the request was written
	deadlines     httpx.Deadlines
}

// SetDeadline, SetReadDeadline and SetWriteDeadline move a deadline only when that makes a
// difference.
func (c *conn) SetDeadline(t time.Time) error      { return c.deadlines.Set(c.Conn, t) }
func (c *conn) SetReadDeadline(t time.Time) error  { return c.deadlines.SetRead(c.Conn, t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.deadlines.SetWrite(c.Conn, t) }

func newConn(tcp net.Conn, u *Upstream) *conn {
	c := &conn{Conn: tcp, upstream: u, readTimeout: u.cfg.Timeout, deadlines: httpx.Deadlines{Timeout: u.cfg.Timeout}}
	if s, ok := tcp.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			c.raw = raw
		}
	}
	return c
}

// Write sends p. It returns errStale instead when p begins a request that must not be sent twice
// and the service has closed the connection since its last answer. A request that changes nothing
// is sent without that check, which costs as much as sending, and is sent again when that fails. It
// is sent again only once, so while any request is retrying the check is made for all: the
// connections to all addresses may have ended.
func (c *conn) Write(p []byte) (int, error) {
	if c.used {
		c.used, c.reading = false, false
		if c.raw != nil && (!bytes.HasPrefix(p, get) || c.upstream.retrying.Load() > 0) && closedByPeer(c.raw) {
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
// part has the same time again.
func (c *conn) Read(p []byte) (int, error) {
	if c.reading {
		if err := c.SetReadDeadline(time.Now().Add(c.readTimeout)); err != nil {
			return 0, err
		}
	}
	c.used, c.reading, c.begun = true, true, false
	return c.Conn.Read(p)
}
