package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// errBusy says that an address works on as many requests as it may: nothing was sent.
var errBusy = errors.New("the service works on as many requests as it may")

// rush is how long requests may have to wait, one after the other, before that is a load that stays and not a rush that passes: what CoDel
// (Nichols and Jacobson, Controlling Queue Delay, ACM Queue 10/5, 2012) calls its interval, longer because clients of one user come in crowds.
const rush = 500 * time.Millisecond

// turns bounds how many requests an address works on at once, so that more load than it can serve makes refusals and not ever longer answers.
//
// Those over the bound wait in order. A rush may wait for long, because it passes. While the load stays above what the address serves, a request
// waits no longer than an answer takes: then a queue as long as the bound is all that ever stands, and who is let in gets his answer in about
// twice the time of an answer. It is the adaptive time-out that Facebook puts before its services (Maurer, Fail at Scale, ACM Queue 13/8, 2015).
type turns struct {
	slots   *semaphore.Weighted
	patient time.Duration // in a rush
	now     func() time.Time

	mu sync.Mutex
	// waiting began at since and was last seen at last; an interval without it ends it.
	since, last time.Time
	// mean is the moving average of how long an answer takes.
	mean time.Duration
}

func newTurns(most int, patient time.Duration, now func() time.Time) *turns {
	return &turns{slots: semaphore.NewWeighted(int64(most)), patient: patient, now: now}
}

// take waits for a turn; when it returns true, done must be called.
func (t *turns) take() bool {
	if t.slots.TryAcquire(1) {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), t.patience())
	defer cancel()
	return t.slots.Acquire(ctx, 1) == nil
}

// patience notes that a request has to wait and returns for how long it may.
func (t *turns) patience() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if now.Sub(t.last) > rush {
		t.since = now
	}
	t.last = now
	if now.Sub(t.since) <= rush {
		return t.patient
	}
	return min(t.mean, t.patient)
}

// smoothing is the weight of what was before against one answer.
const smoothing = 63

// done gives the turn back after an answer that took so long.
func (t *turns) done(took time.Duration) {
	t.slots.Release(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mean == 0 {
		t.mean = took
	}
	t.mean = (t.mean*smoothing + took) / (smoothing + 1)
}
