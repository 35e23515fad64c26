package gateway

import (
	"container/list"
	"errors"
	"sync"
	"time"
)

// errBusy says that an address works on as many requests as it may: nothing was sent.
var errBusy = errors.New("the service works on as many requests as it may")

// rush is how long requests may have to wait, one after the other, before that is a load that stays
// and not a rush that passes: what CoDel (Nichols and Jacobson, Controlling Queue Delay, ACM Queue
// 10/5, 2012) calls its interval, longer because clients of one user come in crowds.
const rush = 500 * time.Millisecond

// brief is a wait that nobody is refused for, however quickly the address answers: a crowd of
// clients that each wait for their answer before they ask again is served within it by an address
// that is quick, and is no overload.
const brief = 250 * time.Millisecond

// slackTimes is how many times what its own goroutines are late the gateway adds to what it lets an
// address have and requests wait. When they are late the gateway's own CPUs are busy: then times
// say more about them than about the address, and to refuse a request costs about as much as to
// serve it, the more so when its client asks again at once.
const slackTimes = 10

// turns bounds how many requests an address works on at once, so that more load than it can serve
// makes refusals and not ever longer answers.
//
// Those over the bound wait in order. A rush may wait for long, because it passes. While waiting
// goes on, a request waits no longer than an answer takes, or briefly: the adaptive time-out that
// Facebook puts before its services (Maurer, Fail at Scale, ACM Queue 13/8, 2015). When that
// refuses somebody, at least twice the bound are here and more come: an overload. Until nobody has
// had to wait for the time of a rush, the bound then is what pace finds that the address can work
// on, and nobody waits longer than an answer takes alone, or slack is. Clients that wait for their
// answers before they ask again never come to that, however slow the address is, if they are not
// more than twice the bound; nor, if they are, when the address is so quick that their wait is
// brief.
type turns struct {
	most    int
	patient time.Duration // in a rush
	now     func() time.Time

	mu      sync.Mutex
	limit   int // most, or what pace says
	working int
	waiting list.List // of chan time.Time, which get the time when the turn has come
	// moving average of how late a request runs whose turn has come, or whose patience is at its end
	late     time.Duration
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
	turn := make(chan time.Time, 1)
	place := t.waiting.PushBack(turn)
	t.admit()
	t.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case came := <-turn:
		t.mu.Lock()
		defer t.mu.Unlock()
		t.ranAt(came)
		return true
	case over := <-timer.C:
		return t.leave(place, turn, patience, over)
	}
}

// leave ends the waiting of one whose patience is at its end, unless his turn has come in the
// meantime.
func (t *turns) leave(place *list.Element, turn chan time.Time, patience time.Duration, over time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ranAt(over)
	select {
	case <-turn:
		return true
	default:
	}
	t.waiting.Remove(place)
	if !t.overload && patience < t.patient && t.pace.mean > 0 {
		t.overload = true
		t.pace.begin(t.now())
	}
	return false
}

// ranAt notes that a request runs now which could have run at due.
func (t *turns) ranAt(due time.Time) {
	t.late = (t.late*smoothing + max(t.now().Sub(due), 0)) / (smoothing + 1)
}

// slack is what an address may have inside of it, and a request may wait, whatever an answer takes.
func (t *turns) slack() time.Duration { return min(slackTimes*t.late, brief) }

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
		return min(max(t.pace.alone, t.slack()), t.patient)
	case now.Sub(t.since) <= rush:
		return t.patient
	}
	return min(max(t.pace.mean, brief), t.patient)
}

// admit gives turns to those who wait.
func (t *turns) admit() {
	for t.working < t.limit && t.waiting.Len() > 0 {
		t.waiting.Remove(t.waiting.Front()).(chan time.Time) <- t.now()
		t.working++
	}
}

// done gives the turn back that was taken before start, after the time that it took; answered says
// that there is an answer, whose time tells something.
func (t *turns) done(start time.Time, took time.Duration, answered bool) {
	now := start.Add(took)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.working--
	if answered {
		t.pace.note(took, t.waiting.Len() > 0)
	}
	if t.overload {
		t.limit = min(t.pace.bound(now, t.working, t.limit, t.slack()), t.most)
	} else {
		t.pace.settle(now)
	}
	t.admit()
}

// turnState is how many are worked on, how many wait, how many may be worked on, and how late those
// run whose turn has come; in an overload only.
type turnState struct {
	working, waiting, limit int
	late                    time.Duration
}

func (t *turns) state() turnState {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := turnState{working: t.working, waiting: t.waiting.Len(), limit: t.limit}
	if t.overload {
		s.late = t.late
	}
	return s
}
