package gateway

import (
	"context"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/pkg/trace"
)

// internalRoute stands for the paths of the gateway's own requests in traces: they hold ids.
const internalRoute = "/internal"

// calling begins the span of a request to a service and tells the service about it; called ends it.
// at is what the client asked for, nil for a request of the gateway's own.
func (g *gateway) calling(ctx context.Context, req *fasthttp.Request, u *upstream, at *endpoint) trace.Span {
	if g.traces == nil {
		return trace.Span{}
	}
	route := internalRoute
	if at != nil {
		route = at.template
	}
	_, span := g.traces.Call(ctx, string(req.Header.Method())+" "+route)
	if parent := span.Traceparent(); parent != "" {
		req.Header.Set(trace.Header, parent)
		span.Text("http.request.method", string(req.Header.Method()))
		span.Text("url.template", route)
		span.Text("service.peer.name", u.name)
	}
	return span
}

func called(span trace.Span, resp *fasthttp.Response, err error) {
	if span.Kept() {
		if err != nil {
			span.Fail("no answer")
		} else {
			status := resp.StatusCode()
			span.Number("http.response.status_code", status)
			if status >= fiber.StatusBadRequest {
				span.Fail("")
			}
		}
	}
	span.End()
}

// traceparent returns the span of the request for its event, "" when it is not kept.
func (g *gateway) traceparent(c *fiber.Ctx) string {
	if g.traces == nil {
		return ""
	}
	if span := trace.Current(c.UserContext()); span.Kept() {
		return span.Traceparent()
	}
	return ""
}
