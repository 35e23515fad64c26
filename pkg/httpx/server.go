// Package httpx owns how every process of Realmgate speaks HTTP: the Fiber app with its limits,
// request ids, recovery from panics, the one error handler that writes envelopes, the log line and
// the metrics of a request. Start reading at New; handlers use OK, Paged, Body, Query and Caller.
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

// Options say how a Server behaves. Zero limits mean the defaults beside them.
type Options struct {
	Name    string // of the service: audience of identities, label of log lines
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Traces  *trace.Provider // nil: off
	// Identities verifies who is calling; every route then demands a signed identity. Nil in the
	// gateway, which establishes identities.
	Identities *auth.InternalKeys
	// BodyLimit returns the most bytes that a request to path may send; nil means DefaultBodyLimit
	// everywhere.
	BodyLimit func(method, path []byte) int
	MaxBody   int // the largest value BodyLimit returns (DefaultBodyLimit)
	// StreamBody hands a request to its handler before its body has arrived: the handler reads, or
	// refuses, Request().BodyStream() and holds the limit itself. For the gateway, which asks who
	// is sending before it takes 50 MB.
	StreamBody bool
	// RequestTimeout bounds the context of a handler (30 s; negative: the handler bounds itself);
	// ReadTimeout the reading of one request with its body (60 s); IdleTimeout a connection between
	// requests (120 s).
	RequestTimeout, ReadTimeout, IdleTimeout time.Duration
	// Classify turns errors that this package can't know (a lost database) into an *apperr.Error;
	// nil when it does not know them either.
	Classify func(error) *apperr.Error
	// LogErrorsOnly leaves the line of a request with a status below 400 out of the log.
	LogErrorsOnly bool
	// BeforeFailure is called with every answer of status 400 or more before it is written; the
	// gateway records them.
	BeforeFailure func(*fiber.Ctx, int)
	// UnknownMethod answers requests with a method that RFC 9110 does not know; nil answers 405
	// METHOD_NOT_ALLOWED.
	UnknownMethod func(*fiber.Ctx) error
}

// DefaultBodyLimit is how many bytes a request may send when its route says nothing else.
const DefaultBodyLimit = 1 << 20

// maxHeaderBytes bounds the request line and the headers together.
const maxHeaderBytes = 16 << 10

// Server is a Fiber app and the listener that it serves.
type Server struct {
	*fiber.App
	o        Options
	metrics  *requestMetrics
	verified *otter.Cache[string, auth.Identity]
	door     atomic.Pointer[door]
	stopping atomic.Bool // every answer ends its connection
}

// New returns a server without routes. Routing is exact: case and trailing slashes count.
func New(o Options) *Server {
	if o.MaxBody == 0 {
		o.MaxBody = DefaultBodyLimit
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
	s := &Server{o: o, metrics: newRequestMetrics(o.Metrics), verified: newVerified()}
	s.App = fiber.New(fiber.Config{
		AppName: o.Name, StrictRouting: true, CaseSensitive: true, DisableStartupMessage: true, ErrorHandler: s.fail,
		BodyLimit: o.MaxBody, ReadBufferSize: maxHeaderBytes, ReadTimeout: o.ReadTimeout, WriteTimeout: o.ReadTimeout,
		IdleTimeout:                  o.IdleTimeout,
		DisablePreParseMultipartForm: true, StreamRequestBody: o.StreamBody,
	})
	fast := s.App.Server()
	fast.SecureErrorLogMessage = true
	fast.LazyRequestTime = true // nobody asks for it
	fast.NoDefaultServerHeader = true
	fast.Logger = quietLogger{o.Log}
	fast.ErrorHandler = s.countUnparsed(fast.ErrorHandler)
	known := fast.Handler
	fast.Handler = func(ctx *fasthttp.RequestCtx) {
		if knownMethod(string(ctx.Method())) == otherMethod {
			s.unknownMethod(ctx) // Fiber would answer with a text of its own
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

// guarded turns a panic of f, which no middleware stands around, into an error.
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

// quietLogger gives fasthttp's own complaints (a client that hangs up, a malformed request) the
// level that they deserve.
type quietLogger struct{ log *slog.Logger }

func (q quietLogger) Printf(format string, _ ...any) { q.log.Debug("http server", "event", format) }
