package httpx

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/time/rate"
)

// door is the listener of a server. Once it is to close it takes those who wait already, and others
// for as long as they come close upon each other: the system resets the connections that it has
// taken and nobody has accepted.
type door struct {
	net.Listener
	timeout  time.Duration // of reading, writing and idling
	stopping *atomic.Bool  // the server's: the door is to close
	last     atomic.Bool   // as soon as nobody waits
	closed   atomic.Bool   // Accept is not called any more
	log      *slog.Logger
	cannot   rate.Sometimes
}

// quiet is how long nobody must have come before a door that is to close does.
const quiet = 2 * time.Millisecond

// The pauses of a door that cannot accept for want of descriptors or memory, as net/http's.
const (
	firstPause = 5 * time.Millisecond
	maxPause   = time.Second
)

// Accept waits for a connection; net.ErrClosed when the door has closed. What may pass, above all a
// lack of descriptors, which clients can cause, it waits for: fasthttp would end at it.
func (d *door) Accept() (net.Conn, error) {
	c, err := d.Listener.Accept()
	for pause := firstPause; temporary(err) && !d.stopping.Load(); pause = min(2*pause, maxPause) {
		d.cannot.Do(func() { d.log.Error("connections cannot be accepted", "error", err.Error()) })
		time.Sleep(pause)
		c, err = d.Listener.Accept()
	}
	if d.stopping.Load() {
		if err != nil {
			_ = d.Close()
			return nil, net.ErrClosed
		}
		d.hurry()
	}
	if err != nil {
		return nil, err
	}
	return &lingerConn{Conn: c, deadlines: Deadlines{Timeout: d.timeout}}, nil
}

// temporary reports whether Accept may succeed later: there are no descriptors or no memory now
// (accept(2)).
func temporary(err error) bool {
	var cause syscall.Errno
	return errors.As(err, &cause) &&
		(cause == syscall.EMFILE || cause == syscall.ENFILE || cause == syscall.ENOMEM || cause == syscall.ENOBUFS)
}

// hurry makes Accept fail unless somebody comes soon, or waits already.
func (d *door) hurry() {
	at := time.Now()
	if !d.last.Load() {
		at = at.Add(quiet)
	}
	if timed, ok := d.Listener.(interface{ SetDeadline(time.Time) error }); !ok || timed.SetDeadline(at) != nil {
		_ = d.Close()
	}
}

// Serve answers requests from ln until Stop; it returns nil after Stop.
func (s *Server) Serve(ln net.Listener) error {
	d := &door{Listener: ln, timeout: min(s.o.ReadTimeout, s.o.IdleTimeout), stopping: &s.stopping, log: s.o.Log,
		cannot: rate.Sometimes{Interval: 10 * time.Second}}
	s.door.Store(d)
	if s.stopping.Load() { // before Serve, or at this moment
		d.hurry()
	}
	err := s.Listener(d)
	d.closed.Store(true)
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// drainTurns, each of drainPause, is how long kept connections may still bring one request each
// after the door began to close. A client that sends on a connection at the very moment when it is
// closed cannot know whether the request arrived; told so with its last answer, it does not come to
// that. Turns are counted, not time: where a busy machine does not let the process run, requests
// wait unread while time passes.
const (
	drainTurns = 50
	drainPause = 5 * time.Millisecond
)

// Stop closes the door, answers what kept connections still bring for a moment, and waits for the
// requests under way until ctx ends.
func (s *Server) Stop(ctx context.Context) error {
	s.stopping.Store(true)
	defer s.verified.StopAllGoroutines()
	if d := s.door.Load(); d != nil {
		s.drain(ctx, d)
		_ = d.Close() // Fiber's shutdown hangs for ever when the listener has not begun to serve
	}
	err := s.ShutdownWithContext(ctx)
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// drain waits until the door and every connection have been closed, at most for drainTurns; and as
// long again for the door, which then closes as soon as nobody waits.
func (s *Server) drain(ctx context.Context, d *door) {
	d.hurry()
	inTurns(ctx, func() bool {
		// there is none: it counts the listener, which has gone, as one
		return d.closed.Load() && s.Server().GetOpenConnectionsCount() < 0
	})
	d.last.Store(true)
	d.hurry()
	inTurns(ctx, d.closed.Load)
}

// inTurns waits for drainTurns or until done, whichever comes first.
func inTurns(ctx context.Context, done func() bool) {
	for turn := 0; turn < drainTurns && !done(); turn++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(drainPause):
		}
	}
}
