package gateway

import (
	"container/list"
	"errors"
	"sync"
	"time"
)

// errBusy says that an address works on as many requests as it may: nothing was sent.
var errBusy = errors.New("the service works on as many requests as it may")

// rush is how long requests may have to wait, one after the other, before that is a load that stays and not a rush that passes: what CoDel
// (Nichols and Jacobson, Controlling Queue Delay, ACM Queue 10/5, 2012) calls its interval, longer because clients of one user come in crowds.
const rush = 500 * time.Millisecond

// turns bounds how many requests an address works on at once, so that more load than it can serve makes refusals and not ever longer answers.
//
// Those over the bound wait in order. A rush may wait for long, because it passes. While waiting goes on, a request waits no longer than an
// answer takes, the adaptive time-out that Facebook puts before its services (Maurer, Fail at Scale, ACM Queue 13/8, 2015). When that refuses
// somebody, about twice the bound are here and more come: an overload. Until nobody has had to wait for the time of a rush, the bound then is
// what pace finds that the address can work on. Clients that wait for their answers before they ask again, up to twice the bound of them, never
// come to that, however slow the address is.
type turns struct {
	most    int
	patient time.Duration // in a rush
	now     func() time.Time

	mu       sync.Mutex
	limit    int // most, or what pace says
	working  int
	waiting  list.List // of chan struct{}, closed when the turn has come
	overload bool
	// waiting began at since and was last seen at last; an interval without it ends it.
	since, last time.Time
	pace        pace
}

func newTurns(most int, patient time.Duration, now func() time.Time) *turns {
	return &turns{most: most, limit: most, patient: patient, now: now}
}

// take waits for a turn; when it returns true, done must be called.
func (t *turns) take() bool {
	t.mu.Lock()
	if t.working < t.limit && t.waiting.Len() == 0 {
		t.working++
		t.mu.Unlock()
		return true
	}
	patience := t.patience()
	turn := make(chan struct{})
	place := t.waiting.PushBack(turn)
	t.admit()
	t.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-turn:
		return true
	case <-timer.C:
		return t.leave(place, turn, patience)
	}
}

// leave ends the waiting of one whose patience is at its end, unless his turn has come in the meantime.
func (t *turns) leave(place *list.Element, turn chan struct{}, patience time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-turn:
		return true
	default:
	}
	t.waiting.Remove(place)
	if !t.overload && patience < t.patient {
		t.overload = true
		t.pace.begin(t.now())
	}
	return false
}

// patience notes that a request has to wait and returns for how long it may.
func (t *turns) patience() time.Duration {
	now := t.now()
	if now.Sub(t.last) > rush {
		t.since = now
		t.overload, t.limit = false, t.most
	}
	t.last = now
	switch {
	case t.overload:
		return min(t.pace.alone, t.patient)
	case now.Sub(t.since) <= rush:
		return t.patient
	}
	return min(t.pace.mean, t.patient)
}

// admit gives turns to those who wait.
func (t *turns) admit() {
	for t.working < t.limit && t.waiting.Len() > 0 {
		close(t.waiting.Remove(t.waiting.Front()).(chan struct{}))
		t.working++
	}
}

// done gives the turn back that was taken before start, after the time that it took; answered says that there is an answer, whose time tells something.
func (t *turns) done(start time.Time, took time.Duration, answered bool) {
	now := start.Add(took)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.working--
	if answered {
		t.pace.note(start, now)
	}
	if t.overload {
		t.limit = min(t.pace.bound(now, t.working, t.limit), t.most)
	} else {
		t.pace.settle(now)
	}
	t.admit()
}

// state says how many are worked on, how many wait, and how many may be worked on.
func (t *turns) state() (working, waiting, limit int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.working, t.waiting.Len(), t.limit
}
