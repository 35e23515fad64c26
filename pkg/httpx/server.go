// Package httpx provides the HTTP server of every process of Realmgate: the Fiber app with its
// limits, request ids, recovery from panics, the one error handler that writes envelopes, the log
// line and the metrics of a request. Start reading at New; handlers use OK, Paged, Body, Query and
// Caller, and Stream or Events for streamed answers.
package httpx

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	recovery "github.com/gofiber/fiber/v2/middleware/recover"
	"github.com/maypok86/otter/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/trace"
)

// Options configure a Server. A limit of zero means its default, given in parentheses.
type Options struct {
	Name    string // of the service: audience of identities, label of log lines
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Traces  *trace.Provider // nil: off
	// Identities verifies signed identities; every route then requires one. Nil in the gateway,
	// which establishes identities.
	Identities *auth.InternalKeys
	// BodyLimit returns the most bytes that a request to path may send; nil means DefaultBodyLimit
	// everywhere.
	BodyLimit func(method, path []byte) int
	MaxBody   int // the largest value BodyLimit returns (DefaultBodyLimit)
	// StreamBody calls the handler before the body of the request has arrived. The handler reads or
	// refuses Request().BodyStream() and enforces the limit itself. It is for the gateway, which
	// identifies the sender before it reads 50 MB.
	StreamBody bool
	// MaxHeaders bounds the request line and the headers together, in bytes (16 KB). Each
	// connection has a buffer of this size.
	MaxHeaders int
	// RequestTimeout bounds the context of a handler (30 s; negative: the handler bounds itself);
	// ReadTimeout the reading of one request with its body (60 s); IdleTimeout a connection between
	// requests (120 s).
	RequestTimeout, ReadTimeout, IdleTimeout time.Duration
	// Classify turns an error that this package cannot know, such as a lost database, into an
	// *apperr.Error; it returns nil for other errors.
	Classify func(error) *apperr.Error
	// LogErrorsOnly leaves the line of a request with a status below 400 out of the log.
	LogErrorsOnly bool
	// BeforeFailure is called before an answer with status 400 or more is written, with that
	// status. The gateway records the failure there.
	BeforeFailure func(*fiber.Ctx, int)
	// UnknownMethod answers requests with a method that RFC 9110 does not know; nil answers 405
	// METHOD_NOT_ALLOWED.
	UnknownMethod func(*fiber.Ctx) error
}

// DefaultBodyLimit is the most bytes of a request's body on a route without a limit of its own.
const DefaultBodyLimit = 1 << 20

// defaultMaxHeaders is the default of Options.MaxHeaders.
const defaultMaxHeaders = 16 << 10

// Server is a Fiber app and the listener that it serves.
type Server struct {
	*fiber.App
	o        Options
	metrics  *requestMetrics
	verified *otter.Cache[string, auth.Identity]
	listener atomic.Pointer[drainListener]
	stopping atomic.Bool // every answer closes its connection
	streams  streams
	// eventTimeout is the constant of the same name, except in tests.
	eventTimeout time.Duration
}

// New returns a server without routes. Routing is exact: case and trailing slashes count.
func New(o Options) *Server {
	if o.MaxBody == 0 {
		o.MaxBody = DefaultBodyLimit
	}
	if o.MaxHeaders == 0 {
		o.MaxHeaders = defaultMaxHeaders
	}
	if o.RequestTimeout == 0 {
		o.RequestTimeout = 30 * time.Second
	}
	if o.ReadTimeout == 0 {
		o.ReadTimeout = 60 * time.Second
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = 120 * time.Second
	}
	s := &Server{o: o, metrics: newRequestMetrics(o.Metrics), verified: newVerified(),
		eventTimeout: eventTimeout}
	s.App = fiber.New(fiber.Config{
		AppName: o.Name, StrictRouting: true, CaseSensitive: true, DisableStartupMessage: true, ErrorHandler: s.fail,
		BodyLimit: o.MaxBody, ReadBufferSize: o.MaxHeaders, ReadTimeout: o.ReadTimeout, WriteTimeout: o.ReadTimeout,
		IdleTimeout:                  o.IdleTimeout,
		DisablePreParseMultipartForm: true, StreamRequestBody: o.StreamBody,
	})
	fast := s.App.Server()
	fast.SecureErrorLogMessage = true
	fast.LazyRequestTime = true // nothing reads it
	fast.NoDefaultServerHeader = true
	fast.KeepHijackedConns = true // a stream closes its connection itself
	fast.Logger = quietLogger{o.Log}
	fast.ErrorHandler = s.countUnparsed(fast.ErrorHandler)
	known := fast.Handler
	fast.Handler = func(ctx *fasthttp.RequestCtx) {
		if knownMethod(string(ctx.Method())) == otherMethod {
			s.unknownMethod(ctx) // Fiber would answer without an envelope
			return
		}
		known(ctx)
	}
	if o.BodyLimit != nil {
		fast.HeaderReceived = func(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
			return fasthttp.RequestConfig{MaxRequestBodySize: o.BodyLimit(h.Method(), pathOf(h.RequestURI()))}
		}
	}
	s.Use(s.observe, recovery.New(recovery.Config{EnableStackTrace: true, StackTraceHandler: s.panicked}), s.identify)
	return s
}

// unknownMethod answers a method that Fiber has no routes for.
func (s *Server) unknownMethod(ctx *fasthttp.RequestCtx) {
	c := s.AcquireCtx(ctx)
	defer s.ReleaseCtx(c)
	s.ensureRequestID(c)
	answer := s.o.UnknownMethod
	if answer == nil {
		answer = func(*fiber.Ctx) error { return MethodNotAllowed("") }
	}
	start := time.Now()
	if err := guarded(c, answer); err != nil {
		_ = s.fail(c, err) // only fails when an envelope cannot be encoded
	}
	s.seen(c, start)
}

// guarded calls f, which no middleware surrounds, and turns a panic into an error.
func guarded(c *fiber.Ctx, f func(*fiber.Ctx) error) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic: %v", reason)
		}
	}()
	return f(c)
}

func pathOf(uri []byte) []byte {
	for i, c := range uri {
		if c == '?' {
			return uri[:i]
		}
	}
	return uri
}

func (s *Server) panicked(c *fiber.Ctx, reason any) {
	s.logger(c).Error("panic in a handler", "request_id", RequestID(c), "route", RouteName(c), "panic", reason, "stack",
		string(debug.Stack()))
}

// quietLogger logs fasthttp's own messages, about a client that hangs up or a malformed request, as
// debug.
type quietLogger struct{ log *slog.Logger }

func (q quietLogger) Printf(format string, _ ...any) { q.log.Debug("http server", "event", format) }
