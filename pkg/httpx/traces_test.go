package httpx

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/testkit"
	"github.com/realmgate/realmgate/pkg/trace"
)

// lines collects a log in JSON.
type lines struct{ testkit.Buffer }

// of returns the lines of the request with this id.
func (l *lines) of(t *testing.T, requestID string) (out []map[string]any) {
	t.Helper()
	for line := range strings.Lines(l.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		if m["request_id"] == requestID {
			out = append(out, m)
		}
	}
	return out
}

func tracing(t *testing.T, to *testkit.Collector) *trace.Provider {
	t.Helper()
	var c trace.Config
	environ := []string{"OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_ENDPOINT=" + to.URL}
	if err := config.Load(&c, environ); err != nil {
		t.Fatal(err)
	}
	p, err := trace.New(c, "test", "1", testkit.Log(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestARequestHasASpanAndItsLinesNameTheTrace(t *testing.T) {
	t.Parallel()
	to, log := testkit.Traces(t), &lines{}
	p := tracing(t, to)
	s := New(Options{Name: "test", Log: slog.New(slog.NewJSONHandler(log, nil)), Traces: p})
	s.Get("/things/:id", func(c *fiber.Ctx) error { return OK(c, "Here", nil) })
	s.Get("/broken/:id", func(*fiber.Ctx) error { return errors.New("it broke") })
	s.Get("/panics", func(*fiber.Ctx) error { panic("no") })
	const given, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	parent := "00-" + given + "-" + span + "-01"
	for _, c := range []struct {
		about, path string
		parents     []string
		continued   bool
		lines       int
	}{
		{"a request", "/things/17?x=y", nil, false, 1},
		{"one that continues a trace", "/things/18", []string{parent}, true, 1},
		{"two traceparents", "/things/19", []string{parent, parent}, false, 1},
		{"one that is not well formed", "/things/20", []string{"00-x"}, false, 1},
		{"a failure", "/broken/21", []string{parent}, true, 2},
		{"a panic", "/panics", nil, false, 3},
		{"no such route", "/nowhere/22", nil, false, 1},
	} {
		req := httptest.NewRequest("GET", c.path, nil)
		req.Header["Traceparent"] = c.parents
		res, err := s.Test(req)
		if err != nil {
			t.Fatal(err)
		}
		said := log.of(t, res.Header.Get("X-Request-ID"))
		if len(said) != c.lines {
			t.Errorf("%s: want %d lines: %v", c.about, c.lines, said)
		}
		for _, line := range said {
			if id, _ := line["trace_id"].(string); len(id) != 32 || (id == given) != c.continued {
				t.Errorf("%s: the line %v has the wrong trace", c.about, line)
			}
		}
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	names := map[string]int{}
	for _, s := range to.Spans() {
		names[s.Name]++
		if failed := s.Attributes["http.response.status_code"] == "500"; s.Failed != failed || s.Kind != "SERVER" {
			t.Errorf("span %+v", s)
		}
		if continued := s.ParentID == span && s.TraceID == given; !continued && s.ParentID != "" {
			t.Errorf("span %+v", s)
		}
	}
	if names["GET /things/:id"] != 4 || names["GET /broken/:id"] != 1 || names["GET /panics"] != 1 ||
		names["GET (none)"] != 1 || len(names) != 4 {
		t.Errorf("names %v", names)
	}
}

func TestWithoutTracesNoLogLineNamesATrace(t *testing.T) {
	t.Parallel()
	log := &lines{}
	s := New(Options{Name: "test", Log: slog.New(slog.NewJSONHandler(log, nil))})
	s.Get("/things", func(c *fiber.Ctx) error { return OK(c, "Here", nil) })
	req, err := http.NewRequest("GET", "http://test/things", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	res, err := s.Test(req)
	if err != nil {
		t.Fatal(err)
	}
	said := log.of(t, res.Header.Get("X-Request-ID"))
	if len(said) != 1 || said[0]["trace_id"] != nil {
		t.Errorf("got %v", said)
	}
}
