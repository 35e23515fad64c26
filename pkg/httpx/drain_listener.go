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

// drainListener is the listener of a server. When the server stops, it still accepts the
// connections that wait in the accept queue, and new ones as long as they follow each other
// closely, because the system resets every connection that it has established and the process has
// not accepted.
type drainListener struct {
	net.Listener
	timeout   time.Duration // of reading, writing and idling
	stopping  *atomic.Bool  // the server's: drain and then close
	last      atomic.Bool   // close as soon as the accept queue is empty
	closed    atomic.Bool   // Accept is not called any more
	log       *slog.Logger
	acceptLog rate.Sometimes // limits log lines about failures of Accept
}

// drainGap is how long no connection must have arrived before a listener that drains closes.
const drainGap = 2 * time.Millisecond

// The pauses between attempts to accept when descriptors or memory are short, as in net/http.
const (
	firstPause = 5 * time.Millisecond
	maxPause   = time.Second
)

// Accept waits for a connection and returns net.ErrClosed when the listener has closed. A temporary
// failure is logged and tried again, because fasthttp stops serving at any error of Accept, and
// clients can cause a lack of descriptors.
func (l *drainListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	for pause := firstPause; temporary(err) && !l.stopping.Load(); pause = min(2*pause, maxPause) {
		l.acceptLog.Do(func() { l.log.Error("connections cannot be accepted", "error", err.Error()) })
		time.Sleep(pause)
		c, err = l.Listener.Accept()
	}
	if l.stopping.Load() {
		if err != nil {
			_ = l.Close()
			return nil, net.ErrClosed
		}
		l.setDrainDeadline()
	}
	if err != nil {
		return nil, err
	}
	return &lingerConn{Conn: c, deadlines: Deadlines{Timeout: l.timeout}}, nil
}

// temporary reports whether Accept may succeed later: descriptors or memory are short now
// (accept(2)).
func temporary(err error) bool {
	var cause syscall.Errno
	return errors.As(err, &cause) &&
		(cause == syscall.EMFILE || cause == syscall.ENFILE || cause == syscall.ENOMEM || cause == syscall.ENOBUFS)
}

// setDrainDeadline makes Accept fail unless a connection waits already or arrives within drainGap.
// A listener without deadlines is closed.
func (l *drainListener) setDrainDeadline() {
	at := time.Now()
	if !l.last.Load() {
		at = at.Add(drainGap)
	}
	if timed, ok := l.Listener.(interface{ SetDeadline(time.Time) error }); !ok || timed.SetDeadline(at) != nil {
		_ = l.Close()
	}
}

// Serve answers requests from ln until Stop; it returns nil after Stop.
func (s *Server) Serve(ln net.Listener) error {
	l := &drainListener{Listener: ln, timeout: min(s.o.ReadTimeout, s.o.IdleTimeout), stopping: &s.stopping,
		log: s.o.Log, acceptLog: rate.Sometimes{Interval: 10 * time.Second}}
	s.listener.Store(l)
	if s.stopping.Load() { // Stop was called before Serve, or at this moment
		l.setDrainDeadline()
	}
	err := s.Listener(l)
	l.closed.Store(true)
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// After the listener began to drain, each kept connection may still bring one request for
// drainPolls times drainPause. Its answer tells the client to close the connection. Without that a
// client could send at the very moment when the server closes the connection, and would not know
// whether the request arrived. Polls are counted instead of time: on a busy machine where the
// process does not run, requests wait unread while time passes.
const (
	drainPolls = 50
	drainPause = 5 * time.Millisecond
)

// Stop closes the listener, ends the event streams, answers for a moment the requests that kept
// connections still bring, and waits for the requests and the streams under way until ctx ends.
func (s *Server) Stop(ctx context.Context) error {
	s.stopping.Store(true)
	s.streams.drain()
	defer s.verified.StopAllGoroutines()
	if l := s.listener.Load(); l != nil {
		s.drain(ctx, l)
		_ = l.Close() // Fiber's shutdown hangs for ever when the listener has not begun to serve
	}
	err := s.ShutdownWithContext(ctx)
	s.streams.wait(ctx)
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// drain waits for drainPolls at most until the listener and every connection have closed. Then the
// listener closes as soon as its accept queue is empty, for which drain waits once more.
func (s *Server) drain(ctx context.Context, l *drainListener) {
	l.setDrainDeadline()
	poll(ctx, func() bool {
		// No connection is open: fasthttp subtracts one for the listener, which has gone.
		return l.closed.Load() && s.Server().GetOpenConnectionsCount() < 0
	})
	l.last.Store(true)
	l.setDrainDeadline()
	poll(ctx, l.closed.Load)
}

// poll asks done up to drainPolls times, and returns when it is true or ctx ends.
func poll(ctx context.Context, done func() bool) {
	for n := 0; n < drainPolls && !done(); n++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(drainPause):
		}
	}
}
