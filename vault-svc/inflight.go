package vault

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/realmgate/realmgate/pkg/apperr"
)

// Inflight bounds the memory that large values hold together while they are read, sealed, stored and answered.
type Inflight struct {
	sem      *semaphore.Weighted
	capacity int64
	wait     time.Duration
	used     atomic.Int64
	refused  atomic.Int64
}

// smallBody is the size up to which bodies and values are not accounted: the number of connections bounds them well enough.
const smallBody = 64 << 10

// copies is how often a value of many megabytes is in memory at the same time at most: as it came, sealed, and in the message to or from PostgreSQL.
const copies = 3

func newInflight(capacity int64, wait time.Duration) *Inflight {
	return &Inflight{sem: semaphore.NewWeighted(capacity), capacity: capacity, wait: wait}
}

// Hold is what one request holds of an Inflight. It is used by one goroutine at a time.
type Hold struct {
	f *Inflight
	n int64
}

// errBusy is the cause of refusals for the log.
var errBusy = errors.New("VAULT_MAX_INFLIGHT_BYTES are in use")

// Hold returns a hold of nothing yet. Its Release must be called in the end.
func (f *Inflight) Hold() *Hold { return &Hold{f: f} }

// Take waits until the hold has at least n bytes; the error is 503 SERVICE_UNAVAILABLE when that takes too long. A single request is never refused
// for being too large: all of the capacity is enough for it.
func (h *Hold) Take(ctx context.Context, n int64) error {
	more := min(n, h.f.capacity) - h.n
	if more <= 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, h.f.wait)
	defer cancel()
	if err := h.f.sem.Acquire(ctx, more); err != nil {
		h.f.refused.Add(1)
		return apperr.ServiceUnavailable(errBusy)
	}
	h.took(more)
	return nil
}

// TryTake is Take without waiting, for callers that hold something that others wait for.
func (h *Hold) TryTake(n int64) error {
	more := min(n, h.f.capacity) - h.n
	if more <= 0 {
		return nil
	}
	if !h.f.sem.TryAcquire(more) {
		h.f.refused.Add(1)
		return apperr.ServiceUnavailable(errBusy)
	}
	h.took(more)
	return nil
}

func (h *Hold) took(n int64) {
	h.n += n
	h.f.used.Add(n)
}

// Release gives everything back.
func (h *Hold) Release() {
	if h.n > 0 {
		h.f.sem.Release(h.n)
		h.f.used.Add(-h.n)
		h.n = 0
	}
}
