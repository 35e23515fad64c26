package httpx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/trace"
)

// EndReason says why a stream ended before its function returned. It is the cause of the context
// that ended, the label of a metric, and for some reasons what the client of an event stream reads.
type EndReason string

// The reasons. The first three are sent to the client of an event stream, as section 14 of the
// contract says.
const (
	EndRevoked  EndReason = "revoked"  // the credential is not valid any more
	EndDraining EndReason = "draining" // this process or the one behind it ends
	EndSlow     EndReason = "slow"     // the client does not read
	EndClient   EndReason = "client"   // the client has left
	EndUpstream EndReason = "upstream" // the service behind this one broke off
	endComplete EndReason = "complete" // the function wrote everything
	endFailed   EndReason = "failed"   // the function returned an error, or panicked
)

// Error makes a reason the cause of a context.
func (r EndReason) Error() string { return "the stream ended: " + string(r) }

// Deadlines of streams. A client has eventTimeout to take an event. A service waits longer for its
// gateway than the gateway for the client, so that the gateway finds out first which of its clients
// is slow. When a stream has to end, the client has endTimeout to take what is left.
const (
	eventTimeout = 8 * time.Second
	endTimeout   = 500 * time.Millisecond
)

// The buffers of a stream's body.
const (
	eventBuffer  = 2 << 10
	exportBuffer = 32 << 10
)

// exportShare is the part of the time for a stop that exports may use: the rest is for the parts
// that stop after the server.
const exportShare = 0.9

// StreamFunc writes the body of a streamed answer. Its context ends when the client has left, when
// the server stops, or when the caller of EndStream says so, and never because a request took long;
// its cause is an EndReason. A nil error completes the body. After an error the connection ends
// without the last chunk, so that no client takes a truncated body for a complete one. A check that
// can fail belongs before the call of Stream, as long as the answer can still be an error.
type StreamFunc func(ctx context.Context, w *StreamWriter) error

// Stream answers 200 with a body of unknown length that run writes after the handler has returned.
// Headers that the handler sets are sent; run must not use c or anything that points into the
// request. The log line, the metrics and the span of the request end with the stream. A stopping
// server gives the stream almost all of its time. A HEAD request gets the headers only.
func Stream(c *fiber.Ctx, contentType string, run StreamFunc) error {
	return startStream(c, contentType, stream{run: run, buffer: exportBuffer})
}

// OnStreamEnd makes the server call f with the result of the stream of c when it has ended, before
// the log line: how long the request took, and why it ended. It must be called after Stream or
// Events, before the handler returns. When the handler fails after all, f is called with 0.
func OnStreamEnd(c *fiber.Ctx, f func(took time.Duration, reason EndReason)) {
	if st := knownOf(c).stream; st != nil {
		st.onEnd = f
	}
}

// dropStream forgets a stream whose handler failed.
func dropStream(c *fiber.Ctx) {
	k := knownOf(c)
	st := k.stream
	k.stream = nil
	if st != nil && st.onEnd != nil {
		st.onEnd(0, endFailed)
	}
}

func startStream(c *fiber.Ctx, contentType string, st stream) error {
	c.Response().Header.SetContentType(contentType)
	c.Response().SetStatusCode(fiber.StatusOK)
	if c.Method() == fiber.MethodHead {
		return nil
	}
	knownOf(c).stream = &st
	return nil
}

// stream is a streamed answer from the end of its handler on.
type stream struct {
	run     StreamFunc
	events  bool // server-sent events: the stream ends as soon as the server stops
	buffer  int
	onEnd   func(time.Duration, EndReason)
	request facts
	start   time.Time
	span    trace.Span
	log     *slog.Logger
	ctx     context.Context
	cancel  context.CancelCauseFunc
	w       *StreamWriter
}

// streams are the open streams of a server.
type streams struct {
	mu       sync.Mutex
	open     map[*stream]struct{}
	looking  bool // dropHungUp runs
	draining bool
	empty    chan struct{} // closed when draining and no stream is open
}

// hijack takes the connection of c for its stream, which so has its own deadlines, and holds none
// of fasthttp's buffers.
func (s *Server) hijack(c *fiber.Ctx, st *stream, start time.Time, span trace.Span) {
	st.request, st.start, st.span, st.log = factsOf(c), start, span, s.logger(c)
	st.ctx, st.cancel = context.WithCancelCause(context.WithoutCancel(c.UserContext()))
	h := &c.Response().Header
	h.SetConnectionClose()
	chunked := c.Request().Header.IsHTTP11()
	if chunked {
		h.SetContentLength(-1)
	}
	timeout := s.eventTimeout
	if !st.events {
		timeout = s.o.ReadTimeout
	}
	if s.o.Identities != nil {
		timeout *= 2
	}
	conn := c.Context().Conn()
	if lingering, ok := conn.(*lingerConn); ok {
		conn = lingering.Conn // its deadlines move by large steps
	}
	st.w = newStreamWriter(conn, h.Header(), st.buffer, chunked, timeout, st.cancel)
	st.w.total = s.metrics.streams.bytes.WithLabelValues(st.kind())
	s.metrics.streams.opened(st)
	s.streams.add(st)
	c.Context().HijackSetNoResponse(true)
	conn = c.Context().Conn()
	c.Context().Hijack(func(net.Conn) {
		go func() { // fasthttp gives the memory of the request back
			defer conn.Close()
			s.serveStream(st)
		}()
	})
}

// serveStream runs the stream, and ends its connection when it returns.
func (s *Server) serveStream(st *stream) {
	unblock := context.AfterFunc(st.ctx, st.w.hurry)
	err := s.runGuarded(st)
	if err == nil {
		err = st.w.finish()
	}
	reason := st.reason(err)
	unblock()
	st.cancel(reason)
	if err != nil && !st.w.chunked && !st.events {
		st.w.reset()
	}
	if reason == endFailed {
		st.log.Error("a stream failed", "request_id", st.request.requestID, "route", st.request.route, "error", err.Error())
	}
	took := time.Since(st.start)
	if st.onEnd != nil {
		st.onEnd(took, reason)
	}
	s.metrics.streams.ended(st, reason)
	s.logRequest(st.ctx, st.log, st.request, took, int(st.w.sent))
	if err != nil {
		st.span.Fail("")
	}
	st.span.End()
	s.streams.remove(st)
}

// runGuarded calls the function of the stream and turns a panic into an error.
func (s *Server) runGuarded(st *stream) (err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			st.log.Error("panic in a stream", "request_id", st.request.requestID, "route", st.request.route, "panic", panicked,
				"stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", panicked)
		}
	}()
	return st.run(st.ctx, st.w)
}

// reason returns why the stream ended, given the error of its function.
func (st *stream) reason(err error) EndReason {
	if cause, ok := errors.AsType[EndReason](context.Cause(st.ctx)); ok {
		return cause
	}
	if named, ok := errors.AsType[EndReason](err); ok {
		return named
	}
	if err != nil {
		return endFailed
	}
	return endComplete
}

func (s *streams) add(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[*stream]struct{}{}
	}
	s.open[st] = struct{}{}
	if s.draining && st.events {
		st.cancel(EndDraining)
	}
	if !s.looking {
		s.looking = true
		time.AfterFunc(hangUpEvery, s.dropHungUp)
	}
}

// hangUpEvery is how often the connections of event streams are asked whether their clients have
// left. Without asking, only the second write to a connection that was closed fails.
const hangUpEvery = time.Second

// dropHungUp ends the event streams whose clients have left, and runs again while any are open. The
// end of an export is noticed by its writes, which follow each other closely, and some programs
// close their side after the request.
func (s *streams) dropHungUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for st := range s.open {
		if st.events && hungUp(st.w.conn) {
			st.cancel(EndClient)
		}
	}
	if s.looking = len(s.open) > 0; s.looking {
		time.AfterFunc(hangUpEvery, s.dropHungUp)
	}
}

func (s *streams) remove(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, st)
	if s.draining && len(s.open) == 0 && s.empty != nil {
		close(s.empty)
		s.empty = nil
	}
}

// drain ends the event streams; new ones end as soon as they begin.
func (s *streams) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	for st := range s.open {
		if st.events {
			st.cancel(EndDraining)
		}
	}
}

// wait waits until all streams have ended. When exportShare of the time of ctx has passed, it
// breaks the exports off that are still open, and waits for their ends.
func (s *streams) wait(ctx context.Context) {
	s.mu.Lock()
	if len(s.open) == 0 {
		s.mu.Unlock()
		return
	}
	empty := make(chan struct{})
	s.empty = empty
	s.mu.Unlock()
	var late <-chan time.Time
	if end, ok := ctx.Deadline(); ok {
		late = time.After(time.Duration(float64(time.Until(end)) * exportShare))
	}
	select {
	case <-empty:
		return
	case <-late:
	case <-ctx.Done():
	}
	s.mu.Lock()
	for st := range s.open {
		st.cancel(EndDraining)
	}
	s.mu.Unlock()
	select {
	case <-empty:
	case <-time.After(2 * endTimeout): // a function that does not look at its context
	}
}
