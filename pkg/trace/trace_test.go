package trace_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/testkit"
	"github.com/realmgate/realmgate/pkg/trace"
)

// settings reads Config from environ, with traces switched on.
func settings(t testing.TB, environ ...string) trace.Config {
	t.Helper()
	var c trace.Config
	if err := config.Load(&c, append([]string{"OTEL_TRACES_EXPORTER=otlp"}, environ...)); err != nil {
		t.Fatal(err)
	}
	return c
}

func provider(t testing.TB, environ ...string) *trace.Provider {
	t.Helper()
	p, err := trace.New(settings(t, environ...), "test-svc", "1.2", testkit.Log(t), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_ = p.Stop(ctx)
	})
	return p
}

// TestOffCostsNothing is not parallel, because it counts allocations.
func TestOffCostsNothing(t *testing.T) {
	var c trace.Config
	if err := config.Load(&c, nil); err != nil {
		t.Fatal(err)
	}
	p, err := trace.New(c, "test-svc", "1.2", slog.New(slog.DiscardHandler), nil)
	if err != nil || p != nil {
		t.Fatalf("New with the defaults: %v, %v; want nil", p, err)
	}
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		in, span := p.Serve(ctx, "GET", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true)
		in, call := p.Call(in, "GET x")
		_, query := p.Query(in, "SELECT x")
		query.Text("a", "b")
		query.Number("a", 1)
		query.Fail("no")
		query.End()
		if call.Traceparent() != "" || call.Kept() || trace.ID(in) != "" {
			t.Error("a span is there")
		}
		call.End()
		span.Name("x")
		span.End()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if err := p.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func TestOnlyAWellFormedTraceOfTheCallerIsContinued(t *testing.T) {
	t.Parallel()
	p := provider(t)
	const id, good = "0af7651916cd43dd8448eb211c80319c", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for name, c := range map[string]struct {
		parent    string
		continued bool
	}{
		"none":                        {"", false},
		"well formed":                 {good, true},
		"of a later version":          {"01" + good[2:] + "-more", true},
		"of the version that is none": {"ff" + good[2:], false},
		"upper case":                  {strings.ToUpper(good), false},
		"no trace":                    {"00-00000000000000000000000000000000-b7ad6b7169203331-01", false},
		"no span":                     {"00-" + id + "-0000000000000000-01", false},
		"more than version 0 has":     {good + "-00", false},
		"too short":                   {good[:54], false},
		"a space":                     {" " + good, false},
		"a NUL":                       {good[:10] + "\x00" + good[11:], false},
		"very long":                   {strings.Repeat(good, 1000), false},
	} {
		ctx, span := p.Serve(t.Context(), "GET", c.parent, true)
		if got := trace.ID(ctx); len(got) != 32 || (got == id) != c.continued {
			t.Errorf("%s: trace %q, continued should be %v", name, got, c.continued)
		}
		if own := span.Traceparent(); !strings.HasPrefix(own, "00-"+trace.ID(ctx)) ||
			strings.Contains(own, "b7ad6b7169203331") || !trace.Sampled(own) {
			t.Errorf("%s: goes on as %s", name, own)
		}
		span.End()
	}
}

func TestASharedStatementLinksToItsRequests(t *testing.T) {
	t.Parallel()
	to := testkit.Traces(t)
	p := provider(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+to.URL)
	ada, first := p.Serve(t.Context(), "ada", "", false)
	bob, second := p.Serve(t.Context(), "bob", "", false)
	for name, requests := range map[string][]context.Context{
		"untraced": {t.Context(), t.Context()}, "alone": {bob}, "shared": {t.Context(), ada, bob},
	} {
		_, statement := p.Query(trace.Shared(requests), name)
		statement.End()
	}
	first.End()
	second.End()
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	spans := map[string]testkit.Span{}
	for _, s := range to.Spans() {
		spans[s.Name] = s
	}
	shared, alone := spans["shared"], spans["alone"]
	if len(spans) != 4 || alone.ParentID != spans["bob"].ID || len(alone.Links)+len(alone.Attributes) != 0 {
		t.Errorf("alone: %+v of %d spans", alone, len(spans))
	}
	if link := spans["bob"].TraceID + "-" + spans["bob"].ID; shared.ParentID != spans["ada"].ID ||
		strings.Join(shared.Links, " ") != link || shared.Attributes["realmgate.batch.size"] != "3" {
		t.Errorf("shared: %+v, want it below %s with a link to %s", shared, spans["ada"].ID, link)
	}
}

func TestTheSamplerDecidesWhichTracesAreKept(t *testing.T) {
	t.Parallel()
	const kept, dropped = "00-00000000000000000000000000000001-b7ad6b7169203331-01",
		"00-ffffffffffffffffffffffffffffffff-b7ad6b7169203331-00"
	for _, c := range []struct {
		sampler, arg, parent string
		outside, want        bool
	}{
		{"parentbased_always_on", "", "", true, true},
		{"parentbased_always_on", "", dropped, false, false},
		{"parentbased_always_on", "", dropped, true, true}, // a client does not decide
		{"parentbased_always_off", "", kept, false, true},
		{"parentbased_always_off", "", kept, true, false},
		{"parentbased_traceidratio", "0", kept, true, false},
		{"parentbased_traceidratio", "1", dropped, true, true},
		{"parentbased_traceidratio", "0.0001", kept, true, false}, // nor does its id; may fail once in 10,000 runs
		{"traceidratio", "0", kept, false, false},
		{"always_off", "", kept, false, false},
		{"always_on", "", dropped, false, true},
	} {
		p := provider(t, "OTEL_TRACES_SAMPLER="+c.sampler, "OTEL_TRACES_SAMPLER_ARG="+c.arg)
		in, span := p.Serve(t.Context(), "GET", c.parent, c.outside)
		_, call := p.Call(in, "GET x")
		_, query := p.Query(in, "SELECT x")
		if span.Kept() != c.want || call.Kept() != c.want || query.Kept() != c.want ||
			trace.Sampled(call.Traceparent()) != c.want {
			t.Errorf("%+v: kept %v, the call %v, the query %v, passed on as %s", c, span.Kept(), call.Kept(),
				query.Kept(), call.Traceparent())
		}
	}
}

func TestSpansAreSentAtAStop(t *testing.T) {
	t.Parallel()
	to := testkit.Traces(t, 503)
	p := provider(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+to.URL+"/", "OTEL_EXPORTER_OTLP_HEADERS=X-Key=a%20b, x-other=c",
		"OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=here,service.name=ignored", "OTEL_SERVICE_NAME=named",
		"OTEL_BSP_SCHEDULE_DELAY=60000")
	ctx, span := p.Serve(t.Context(), "GET", "", false)
	_, query := p.Query(ctx, "SELECT x")
	query.Fail("23505")
	query.End()
	span.Name("GET /keys/:key")
	span.End()
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	spans := to.Spans()
	if len(spans) != 2 {
		t.Fatalf("got %+v", spans)
	}
	q, s := spans[0], spans[1]
	if q.ParentID != s.ID || q.TraceID != s.TraceID || s.ParentID != "" || q.Kind != "CLIENT" || s.Kind != "SERVER" ||
		!q.Failed || q.Reason != "23505" || s.Failed {
		t.Errorf("got %+v and %+v", s, q)
	}
	if s.Name != "GET /keys/:key" || s.Service != "named" || s.Resource["service.version"] != "1.2" ||
		s.Resource["deployment.environment.name"] != "here" {
		t.Errorf("got %+v", s)
	}
	requests := to.Requests()
	if len(requests) != 2 || requests[1].Get("X-Key") != "a b" || requests[1].Get("X-Other") != "c" {
		t.Errorf("got %v, want a repetition of what was answered 503", requests)
	}
}

// TestACollectorThatHangsDelaysNoRequest fills the queue many times over while the collector does
// not answer.
func TestACollectorThatHangsDelaysNoRequest(t *testing.T) {
	t.Parallel()
	free := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-free }))
	defer hangs.Close()
	defer close(free)
	reg, logged := prometheus.NewRegistry(), &bytes.Buffer{}
	p, err := trace.New(settings(t,
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="+strings.Replace(hangs.URL, "//", "//user:s3cret@", 1)+"/x?key=s3cret",
		"OTEL_EXPORTER_OTLP_TIMEOUT=50", "OTEL_BSP_MAX_QUEUE_SIZE=10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=5"), "test-svc",
		"1.2", slog.New(slog.NewTextHandler(logged, nil)), reg)
	if err != nil {
		t.Fatal(err)
	}
	const n = 20_000
	for range n {
		_, span := p.Serve(t.Context(), "GET", "", false)
		span.End()
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	got := map[string]float64{}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		got[f.GetName()] = f.GetMetric()[0].GetCounter().GetValue()
	}
	if got["trace_spans_ended_total"] != n || got["trace_spans_exported_total"] != 0 ||
		got["trace_spans_failed_total"] == 0 {
		t.Errorf("counted %v", got)
	}
	if text := logged.String(); strings.Count(text, "traces cannot be sent") != 1 || strings.Contains(text, "s3cret") {
		t.Errorf("logged %s", text)
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ set, names string }{
		{"OTEL_TRACES_EXPORTER=jaeger", "OTEL_TRACES_EXPORTER"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_PROTOCOL"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318", "OTEL_EXPORTER_OTLP_ENDPOINT"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=unix:///x", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"},
		{"OTEL_EXPORTER_OTLP_HEADERS=nothing", "OTEL_EXPORTER_OTLP_HEADERS"},
		{"OTEL_TRACES_SAMPLER=sometimes", "OTEL_TRACES_SAMPLER"},
		{"OTEL_TRACES_SAMPLER_ARG=NaN OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG"},
		{"OTEL_RESOURCE_ATTRIBUTES=a=%zz", "name=value"},
		{"OTEL_BSP_MAX_QUEUE_SIZE=0", "OTEL_BSP_"},
	} {
		err := config.Load(&trace.Config{}, append([]string{"OTEL_TRACES_EXPORTER=otlp"}, strings.Fields(c.set)...))
		if err == nil || !strings.Contains(err.Error(), c.names) {
			t.Errorf("%s: got %v, want %s named", c.set, err, c.names)
		}
	}
	for _, off := range []string{"OTEL_TRACES_EXPORTER=", "OTEL_TRACES_EXPORTER=none OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
		"OTEL_TRACES_EXPORTER=otlp OTEL_SDK_DISABLED=true"} {
		var c trace.Config
		if err := config.Load(&c, strings.Fields(off)); err != nil {
			t.Errorf("%s: %v", off, err)
		}
		if p, err := trace.New(c, "x", "1", slog.New(slog.DiscardHandler), nil); p != nil || err != nil {
			t.Errorf("%s: traces are on, or %v", off, err)
		}
	}
}
