package testkit

import (
	"io"
	"log/slog"
	"sync"
	"testing"
)

// Log returns a logger of every level that writes to t's output, which go test shows
// when t failed or with -v. What is logged after the end of t is dropped, where t.Log would panic.
func Log(t testing.TB) *slog.Logger {
	w := &testOutput{out: t.Output()}
	t.Cleanup(w.close)
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type testOutput struct {
	mu  sync.Mutex
	out io.Writer // nil when the test is over
}

// Write implements [io.Writer].
func (w *testOutput) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.out == nil {
		return len(b), nil
	}
	return w.out.Write(b)
}

func (w *testOutput) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out = nil
}
