package upstream

import (
	"context"

	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/pkg/trace"
)

// startSpan begins the span of a request to the service and tells the service about it. The span is
// named after route, which holds no ids.
func (u *Upstream) startSpan(ctx context.Context, req *fasthttp.Request, route string) trace.Span {
	if u.traces == nil {
		return trace.Span{}
	}
	_, span := u.traces.Call(ctx, string(req.Header.Method())+" "+route)
	if parent := span.Traceparent(); parent != "" {
		req.Header.Set(trace.Header, parent)
		span.Text("http.request.method", string(req.Header.Method()))
		span.Text("url.template", route)
		span.Text("service.peer.name", u.name)
	}
	return span
}

// endSpan ends the span with the answer, or without one when err is not nil.
func endSpan(span trace.Span, resp *fasthttp.Response, err error) {
	if span.Kept() {
		if err != nil {
			span.Fail("no answer")
		} else {
			status := resp.StatusCode()
			span.Number("http.response.status_code", status)
			if status >= fasthttp.StatusBadRequest {
				span.Fail("")
			}
		}
	}
	span.End()
}
