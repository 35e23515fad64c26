package testkit

import (
	"bytes"
	"io"
	"log/slog"
	"sync"
	"testing"
)

// Log returns a logger of every level that writes to t's output, which go test shows when t failed
// or with -v. Lines after the end of t are dropped; t.Log would panic.
func Log(t testing.TB) *slog.Logger {
	w := &testOutput{out: t.Output()}
	t.Cleanup(w.close)
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Buffer collects logged or printed text. It is safe for concurrent use.
type Buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements [io.Writer].
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String returns the text so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
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
