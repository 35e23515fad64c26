package testkit

import (
	"context"
	"testing"

	"github.com/alicebob/miniredis/v2"
)

// RedisServer is a Redis that a test may stop and restart. It embeds miniredis with its methods
// (SetError, Keys, TTL, FastForward, …).
type RedisServer struct {
	*miniredis.Miniredis
	t testing.TB
}

// Redis starts a Redis for t inside this process, on a free port of 127.0.0.1. Keys expire by the
// wall clock. It ends with t.
func Redis(t testing.TB) *RedisServer {
	t.Helper()
	r := &RedisServer{Miniredis: miniredis.NewMiniRedis(), t: t}
	r.ClockTTL(true)
	if err := r.Start(); err != nil {
		t.Fatalf("testkit: Redis: %v", err)
	}
	t.Cleanup(r.Stop)
	return r
}

// URL is the server's address, redis://host:port/0; it stays the same over
// Stop and Restart.
func (r *RedisServer) URL() string { return "redis://" + r.Addr() + "/0" }

// Stop ends the server and every connection; the data stays. It does nothing when the server is
// stopped.
func (r *RedisServer) Stop() { r.Close() }

// Restart stops the server if it runs and starts it again on the same port with the same data. The
// test fails when another process has taken the port.
func (r *RedisServer) Restart() {
	r.t.Helper()
	r.Close()
	// Close cancels for good the context on which blocking commands wait.
	r.Ctx, r.CtxCancel = context.WithCancel(context.Background())
	if err := r.Miniredis.Restart(); err != nil {
		r.t.Fatalf("testkit: Redis: %v", err)
	}
}
