package httpx

import (
	"log/slog"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/trace"
)

// startSpan begins the span of a request and puts it into the request's context. The gateway
// continues the client's trace, a service continues the gateway's.
func (s *Server) startSpan(c *fiber.Ctx) trace.Span {
	if s.o.Traces == nil {
		return trace.Span{}
	}
	parent := ""
	// several headers are ignored (W3C Trace Context, 3.2)
	if given := c.Request().Header.PeekAll(trace.Header); len(given) == 1 {
		parent = string(given[0])
	}
	ctx, span := s.o.Traces.Serve(c.UserContext(), knownMethod(c.Method()), parent, s.o.Identities == nil)
	c.SetUserContext(ctx)
	return span
}

// endSpan adds the result of the request to its span and ends it. Like the log, a span has no path,
// no query and no header.
func endSpan(c *fiber.Ctx, span trace.Span) {
	if span.Kept() {
		method, route, status := knownMethod(c.Method()), RouteName(c), c.Response().StatusCode()
		span.Name(method + " " + route)
		span.Text("http.request.method", method)
		span.Text("http.route", route)
		span.Number("http.response.status_code", status)
		span.Text("realmgate.request_id", RequestID(c))
		if status >= fiber.StatusInternalServerError {
			span.Fail("")
		}
	}
	span.End()
}

// logger returns a logger for lines about a request, which names its trace.
func (s *Server) logger(c *fiber.Ctx) *slog.Logger {
	if s.o.Traces != nil {
		if id := trace.ID(c.UserContext()); id != "" {
			return s.o.Log.With("trace_id", id)
		}
	}
	return s.o.Log
}
