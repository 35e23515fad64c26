package upstream

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"
)

// TestAnInternalRequestEndsWithItsContext though UPSTREAM_TIMEOUT is longer: neither who hangs nor
// who ends every connection is waited for.
func TestAnInternalRequestEndsWithItsContext(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	slowly := func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(200 * time.Millisecond)
		conn, _, _ := w.(http.Hijacker).Hijack()
		_ = conn.Close()
	}
	for name, handle := range map[string]http.HandlerFunc{"hangs": func(http.ResponseWriter, *http.Request) { <-release },
		"ends every connection": slowly} {
		u := dial(t, time.Hour, startReplica(t, "127.0.0.1:0", handle).addr)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := u.Ask(ctx, "GET", "/internal/x", nil, nil); err == nil {
			t.Errorf("%s: answered", name)
		}
		<-ctx.Done()
		if err := u.Ask(ctx, "GET", "/internal/x", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: with no time left: %v", name, err)
		}
	}
}
