package ratelimit

import (
	"context"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
)

// Batches counts events in batches, so that not every event costs a round trip to Redis. A batch is
// a hundredth of the rate; rates below 200 are counted event by event and are exact.
type Batches struct {
	shared *Limiter
	open   *otter.Cache[string, *batch]
	now    func() time.Time
}

// batch holds the remaining events of one key's batch, or the end of a refusal.
type batch struct {
	mu           sync.Mutex
	left         int
	last         Result
	blockedUntil time.Time
}

const (
	batchDivisor = 100         // a batch is the rate divided by this
	maxBatches   = 100_000     // keys with an open batch
	batchTTL     = time.Minute // since the last event of the key
)

// NewBatches returns a Batches that takes its batches from shared.
func NewBatches(shared *Limiter, now func() time.Time) *Batches {
	return &Batches{shared: shared, now: now, open: otter.Must(&otter.Options[string, *batch]{
		MaximumSize: maxBatches, ExpiryCalculator: otter.ExpiryAccessing[string, *batch](batchTTL),
	})}
}

// Allow counts one event of key against r.
func (b *Batches) Allow(ctx context.Context, key string, r Rate) Result {
	size := r.Count / batchDivisor
	if size < 2 {
		return b.shared.Allow(ctx, key, r, 1)
	}
	open, ok := b.open.GetIfPresent(key)
	if !ok {
		open, _ = b.open.SetIfAbsent(key, &batch{})
	}
	open.mu.Lock()
	defer open.mu.Unlock()
	now := b.now()
	if open.left > 0 {
		open.left--
		res := open.last
		res.Remaining += open.left
		return res
	}
	if wait := open.blockedUntil.Sub(now); wait > 0 {
		return Result{RetryAfter: wait, ResetAfter: open.last.ResetAfter}
	}
	res := b.shared.Allow(ctx, key, r, size)
	if res.Allowed {
		open.left, open.last = size-1, res
		res.Remaining += open.left
		return res
	}
	if res = b.shared.Allow(ctx, key, r, 1); !res.Allowed {
		open.blockedUntil = now.Add(res.RetryAfter)
	}
	open.last = res
	return res
}

// Close ends the goroutines of the batches.
func (b *Batches) Close() { b.open.StopAllGoroutines() }
