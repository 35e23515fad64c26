package gateway

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"
)

// TestAnInternalRequestEndsWithItsContext though UPSTREAM_TIMEOUT is longer: neither who hangs nor who ends every connection is waited for.
func TestAnInternalRequestEndsWithItsContext(t *testing.T) {
	t.Parallel()
	g, release := &gateway{}, make(chan struct{})
	defer close(release)
	slowly := func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(200 * time.Millisecond)
		conn, _, _ := w.(http.Hijacker).Hijack()
		_ = conn.Close()
	}
	for name, handle := range map[string]http.HandlerFunc{"hangs": func(http.ResponseWriter, *http.Request) { <-release }, "ends every connection": slowly} {
		u := dial(t, 20*time.Second, startReplica(t, "127.0.0.1:0", handle).addr)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		start := time.Now()
		if err := g.ask(ctx, u, "GET", "/internal/x", nil, nil); err == nil {
			t.Errorf("%s: answered", name)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: waited for %v, want 300ms", name, took)
		}
		<-ctx.Done()
		if err := g.ask(ctx, u, "GET", "/internal/x", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: with no time left: %v", name, err)
		}
	}
}
