package activity

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/testkit"
	"github.com/realmgate/realmgate/pkg/trace"
)

// TestEachTracedEventOfABatchHasItsInsertInItsOwnTrace stores three traced events, one whose trace
// is not kept and one without a trace together.
func TestEachTracedEventOfABatchHasItsInsertInItsOwnTrace(t *testing.T) {
	t.Parallel()
	to := testkit.Traces(t)
	h := prepare(t, func(c *Config) { c.Writers, c.BatchWait = 1, time.Second })
	if err := config.Load(&h.cfg.Service.Traces,
		[]string{"OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_ENDPOINT=" + to.URL}); err != nil {
		t.Fatal(err)
	}
	p, err := trace.New(h.cfg.Service.Traces, Name, "test", testkit.Log(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	h.traces = p
	r := h.run()
	traceID := func(n int) string { return fmt.Sprintf("%032x", n) }
	var events []string // trace id and span id of the three
	user := newUser()
	for n := 1; n <= 5; n++ {
		e := at(time.Now(), user, "GET", 200)
		parent := ""
		if n <= 4 {
			parent = "00-" + traceID(n) + "-" + fmt.Sprintf("%016x", n) + "-01"
			if n == 4 {
				parent = parent[:len(parent)-1] + "0"
			} else {
				events = append(events, parent[3:len(parent)-3])
			}
		}
		b, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		h.eventually("publish", func() error {
			f, err := h.bus.Publish(h.names().Subject, e.ID, parent, b)
			if err == nil {
				err = accepted(f)
			}
			return err
		})
	}
	h.drained()
	h.agrees(5)
	r.stop()

	holdInserts(t, to, events, traceID)
}

// holdInserts holds that each event, "<trace id>-<span id>", has one insert in its trace, and that
// the batch and the event are linked.
func holdInserts(t *testing.T, to *testkit.Collector, events []string, traceID func(int) string) {
	t.Helper()
	byTrace, batches := map[string]testkit.Span{}, 0
	for _, s := range to.Spans() {
		if s.Name != insertSpan {
			continue
		}
		if _, twice := byTrace[s.TraceID]; twice || s.Failed || s.Kind != "CONSUMER" {
			t.Errorf("span %+v", s)
		}
		byTrace[s.TraceID] = s
		if s.Attributes["messaging.batch.message_count"] != "" {
			batches++
		}
	}
	if len(byTrace) != 3 || batches < 1 {
		t.Fatalf("%d traces, %d batches: %+v", len(byTrace), batches, byTrace)
	}
	for n := 1; n <= 3; n++ {
		s := byTrace[traceID(n)]
		if s.ParentID != fmt.Sprintf("%016x", n) {
			t.Errorf("trace %d: span %+v", n, s)
		}
		if s.Attributes["messaging.batch.message_count"] != "" {
			if !slices.Contains(s.Links, events[n-1]) {
				t.Errorf("the batch links to %v, not to its first event", s.Links)
			}
			continue
		}
		if len(s.Links) != 1 || byTrace[s.Links[0][:32]].ID != s.Links[0][33:] ||
			!strings.Contains(strings.Join(byTrace[s.Links[0][:32]].Links, " "), events[n-1]) {
			t.Errorf("trace %d: span %+v and its batch do not link to each other", n, s)
		}
	}
}

// accepted waits for the stream's word.
func accepted(f bus.Future) error {
	select {
	case <-f.OK:
		return nil
	case err := <-f.Err:
		return err
	}
}
