package httpx

import (
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
	"golang.org/x/time/rate"

	"github.com/realmgate/realmgate/pkg/netaddr"
)

// unparsedRoute is the route label of requests that fasthttp could not parse.
const unparsedRoute = "(unparsed)"

// Bounds of the log lines about requests that could not be parsed. No rate limit of requests
// applies to them. The metric counts all.
const (
	unparsedPerSecond = 10
	unparsedBurst     = 100
)

// errBrokenOff replaces an error of the client's connection, which Fiber would take for an error of
// the server.
var errBrokenOff = errors.New("the connection broke off")

// countUnparsed wraps handle, which answers the requests that fasthttp could not parse, and counts
// and logs them. They reach no other handler.
func (s *Server) countUnparsed(handle func(*fasthttp.RequestCtx, error)) func(*fasthttp.RequestCtx, error) {
	lines := rate.NewLimiter(unparsedPerSecond, unparsedBurst)
	return func(ctx *fasthttp.RequestCtx, err error) {
		if broken, ok := errors.AsType[net.Error](err); ok && !broken.Timeout() {
			err = errBrokenOff
		}
		start := time.Now()
		handle(ctx, err)
		status, took := ctx.Response.StatusCode(), time.Since(start)
		series := s.metrics.of(otherMethod, unparsedRoute, status)
		series.answered.Inc()
		series.duration.Observe(took.Seconds())
		if !lines.Allow() {
			return
		}
		s.o.Log.LogAttrs(ctx, slog.LevelInfo, "request",
			slog.String("request_id", string(ctx.Response.Header.Peek(fiber.HeaderXRequestID))),
			slog.String("method", otherMethod),
			slog.String("route", unparsedRoute), slog.Int("status", status), slog.Duration("took", took),
			slog.String("user_id", ""),
			slog.String("client_addr", netaddr.Peer(ctx.RemoteAddr()).String()),
			slog.Int("bytes", len(ctx.Response.Body())))
	}
}
