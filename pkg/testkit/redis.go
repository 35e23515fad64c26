package testkit

import (
	"context"
	"testing"

	"github.com/alicebob/miniredis/v2"
)

// RedisServer is a Redis that a test may take away and bring back. It is
// miniredis, whose methods (SetError, Keys, TTL, FastForward, …) are there too.
type RedisServer struct {
	*miniredis.Miniredis
	t testing.TB
}

// Redis starts a Redis of t's own inside this process, on a free port of
// 127.0.0.1. Keys expire with the wall clock. It ends with t.
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

// Stop ends the server and every connection; the data stays. Without effect
// when it is stopped.
func (r *RedisServer) Stop() { r.Close() }

// Restart starts the server on its port with its data, after stopping it if
// it runs. The test fails when the port was taken meanwhile.
func (r *RedisServer) Restart() {
	r.t.Helper()
	r.Close()
	// Close cancels the context that blocking commands wait on, for good.
	r.Ctx, r.CtxCancel = context.WithCancel(context.Background())
	if err := r.Miniredis.Restart(); err != nil {
		r.t.Fatalf("testkit: Redis: %v", err)
	}
}
