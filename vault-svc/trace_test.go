package vault

import (
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/pkg/testkit"
	"github.com/realmgate/realmgate/pkg/trace"
)

// TestTracedRequestsShareStatements traces every request. Traced requests share batches like
// untraced ones. Each batch is a span of one request and links to the others.
func TestTracedRequestsShareStatements(t *testing.T) {
	t.Parallel()
	to := testkit.Traces(t)
	var c trace.Config
	err := config.Load(&c, []string{"OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_ENDPOINT=" + to.URL})
	if err != nil {
		t.Fatal(err)
	}
	traces, err := trace.New(c, Name, "test", testkit.Log(t), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	cfg := start(t).cfg
	cfg.DB.MaxConns = 3 // one statement at a time
	s := runIn(t, cfg, service.Runtime{Log: testkit.Log(t), Traces: traces})
	const clients, rounds = 16, 12
	var wait sync.WaitGroup
	for range clients {
		wait.Go(func() {
			u := user()
			for round := range rounds {
				s.writeAndRead(u, "k", "", fmt.Sprint(round))
			}
		})
	}
	wait.Wait()
	for _, what := range []string{"read", "write"} {
		items, statements := s.metric("vault_"+what+"s_total"), s.metric("vault_"+what+"_statements_total")
		if statements >= items {
			t.Errorf("%v items of %v %s statements: none shared one", items, statements, what)
		}
	}
	if err := traces.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	requests := map[string]bool{}
	for _, span := range to.Spans() {
		if span.Kind == "SERVER" {
			requests[span.ID] = true
		}
	}
	shared := 0
	for _, span := range to.Spans() {
		if span.Kind != "CLIENT" {
			continue
		}
		if !requests[span.ParentID] {
			t.Errorf("%s is in no request: %+v", span.Name, span)
		}
		if size := span.Attributes["realmgate.batch.size"]; size != "" {
			shared++
			if n, err := strconv.Atoi(size); err != nil || n != 1+len(span.Links) || n < 2 {
				t.Errorf("a statement of %s requests links to %v", size, span.Links)
			}
		}
	}
	if shared == 0 || len(requests) != clients*rounds*3 {
		t.Errorf("%d shared statements in %d requests", shared, len(requests))
	}
}
