package testkit

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector receives spans over OTLP/HTTP and keeps them in memory.
type Collector struct {
	URL string // for OTEL_EXPORTER_OTLP_ENDPOINT

	mu       sync.Mutex
	spans    []Span
	requests []http.Header
	statuses []int
}

// Span is a span that arrived. Ids are hexadecimal; Links holds the trace and the span id of each
// link with a hyphen between them, as in a traceparent.
type Span struct {
	Service, Name, TraceID, ID, ParentID string
	Kind                                 string // SERVER, CLIENT, CONSUMER …
	Failed                               bool
	Reason                               string // of a failure
	Links                                []string
	Attributes                           map[string]string // of the span
	Resource                             map[string]string
}

// Traces starts a collector. It answers the first requests with statuses, in this order, and drops
// their spans; it answers all later requests with 200.
func Traces(t testing.TB, statuses ...int) *Collector {
	t.Helper()
	c := &Collector{statuses: statuses}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var data tracepb.TracesData
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" ||
			proto.Unmarshal(body, &data) != nil {
			t.Errorf("not OTLP: %s %s, %d bytes, %v", r.Method, r.URL.Path, len(body), err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.WriteHeader(c.keep(r.Header, &data))
	}))
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

// Spans returns the spans that have arrived.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Span(nil), c.spans...)
}

// Requests returns the headers of all requests, including refused ones.
func (c *Collector) Requests() []http.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]http.Header(nil), c.requests...)
}

func (c *Collector) keep(h http.Header, data *tracepb.TracesData) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, h)
	if len(c.statuses) > 0 {
		status := c.statuses[0]
		c.statuses = c.statuses[1:]
		return status
	}
	for _, r := range data.ResourceSpans {
		resource := texts(r.Resource.GetAttributes())
		for _, scope := range r.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, spanOf(resource, s))
			}
		}
	}
	return http.StatusOK
}

func spanOf(resource map[string]string, s *tracepb.Span) Span {
	out := Span{
		Service: resource["service.name"], Name: s.Name, TraceID: hex.EncodeToString(s.TraceId),
		ID:       hex.EncodeToString(s.SpanId),
		ParentID: hex.EncodeToString(s.ParentSpanId), Kind: s.Kind.String()[len("SPAN_KIND_"):],
		Reason: s.GetStatus().GetMessage(),
		Failed: s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR, Attributes: texts(s.Attributes),
		Resource: resource,
	}
	for _, l := range s.Links {
		out.Links = append(out.Links, hex.EncodeToString(l.TraceId)+"-"+hex.EncodeToString(l.SpanId))
	}
	return out
}

func texts(attrs []*commonpb.KeyValue) map[string]string {
	out := map[string]string{}
	for _, a := range attrs {
		switch v := a.Value.Value.(type) {
		case *commonpb.AnyValue_StringValue:
			out[a.Key] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			out[a.Key] = strconv.FormatInt(v.IntValue, 10)
		}
	}
	return out
}
