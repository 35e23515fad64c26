package upstream

import (
	"container/list"
	"errors"
	"sync"
	"time"
)

// ErrOverloaded says that an address works on as many requests as it may: nothing was sent.
var ErrOverloaded = errors.New("the service works on as many requests as it may")

// burstWindow separates a burst from a sustained load: requests that queue without a pause for
// longer are a sustained load. CoDel (Nichols and Jacobson, Controlling Queue Delay, ACM Queue
// 10/5, 2012) calls it the interval; this one is longer because the clients of one user send many
// requests at once.
const burstWindow = 500 * time.Millisecond

// minQueueTimeout is the least time that a request may queue during a sustained load, however
// quickly the address answers. Closed-loop clients, which wait for an answer before they send the
// next request, are served within it by a quick address and are no overload.
const minQueueTimeout = 250 * time.Millisecond

// delayFactor times the scheduling delay of the gateway's goroutines is added to the latency that
// an address may have and to the time that a request may queue. A delay means that the gateway's
// CPUs are busy: latencies then say more about the gateway than about the address, and refusing a
// request costs about as much as serving it.
const delayFactor = 10

// limiter bounds the requests that an address works on at once, so that a load above its capacity
// causes refusals instead of growing latencies.
//
// Requests over the bound queue in order. During a burst they may queue for long, because a burst
// passes. During a sustained load they queue at most for the latency of an answer, or for
// minQueueTimeout: the adaptive timeout of Facebook's services (Maurer, Fail at Scale, ACM Queue
// 13/8, 2015). A refusal means that requests for more than twice the bound are here and more
// arrive: an overload. It ends when no request has had to queue for burstWindow. During an overload
// the bound is what the estimator finds that the address can work on, and a request queues at most
// for the latency without a queue, or for delayAllowance. Closed-loop clients never cause an
// overload while they are at most twice the bound, or while a quick address serves them within
// minQueueTimeout.
type limiter struct {
	maxInFlight     int
	maxQueueTimeout time.Duration // during a burst
	now             func() time.Time

	mu       sync.Mutex
	limit    int // maxInFlight, or less while the estimator says so
	inFlight int
	queue    list.List // of chan time.Time, which receive the time at which the request may be sent
	// schedulingDelay is the moving average of the time between the end of a request's queueing and
	// the moment when its goroutine runs.
	schedulingDelay time.Duration
	overload        bool
	// Queueing began at queuedSince and was last seen at lastQueued; burstWindow without it ends
	// it.
	queuedSince, lastQueued time.Time
	estimator               estimator
}

func newLimiter(maxInFlight int, maxQueueTimeout time.Duration, now func() time.Time) *limiter {
	return &limiter{maxInFlight: maxInFlight, limit: maxInFlight, maxQueueTimeout: maxQueueTimeout, now: now}
}

// acquire waits until the request may be sent. When it returns true, release must be called.
func (l *limiter) acquire() bool {
	l.mu.Lock()
	if l.inFlight < l.limit && l.queue.Len() == 0 {
		l.inFlight++
		l.mu.Unlock()
		return true
	}
	timeout := l.queueTimeout()
	woken := make(chan time.Time, 1)
	element := l.queue.PushBack(woken)
	l.wake()
	l.mu.Unlock()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case at := <-woken:
		l.mu.Lock()
		defer l.mu.Unlock()
		l.noteDelay(at)
		return true
	case at := <-timer.C:
		return l.giveUp(element, woken, timeout, at)
	}
}

// giveUp takes a request whose timeout passed at the given time out of the queue, unless it was
// woken in the meantime. It reports whether the request may be sent.
func (l *limiter) giveUp(element *list.Element, woken chan time.Time, timeout time.Duration, at time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noteDelay(at)
	select {
	case <-woken:
		return true
	default:
	}
	l.queue.Remove(element)
	if !l.overload && timeout < l.maxQueueTimeout && l.estimator.latency > 0 {
		l.overload = true
		l.estimator.begin(l.now())
	}
	return false
}

// noteDelay records that a goroutine runs now that could have run at due.
func (l *limiter) noteDelay(due time.Time) {
	l.schedulingDelay = (l.schedulingDelay*smoothing + max(l.now().Sub(due), 0)) / (smoothing + 1)
}

// delayAllowance is the latency that an address may have, and the time that a request may queue,
// because of the gateway's own scheduling delay.
func (l *limiter) delayAllowance() time.Duration {
	return min(delayFactor*l.schedulingDelay, minQueueTimeout)
}

// queueTimeout records that a request has to queue and returns for how long it may.
func (l *limiter) queueTimeout() time.Duration {
	now := l.now()
	if now.Sub(l.lastQueued) > burstWindow {
		l.queuedSince = now
		l.overload, l.limit = false, l.maxInFlight
	}
	l.lastQueued = now
	switch {
	case l.overload:
		return min(max(l.estimator.minLatency, l.delayAllowance()), l.maxQueueTimeout)
	case now.Sub(l.queuedSince) <= burstWindow:
		return l.maxQueueTimeout
	}
	return min(max(l.estimator.latency, minQueueTimeout), l.maxQueueTimeout)
}

// wake lets as many queued requests be sent as the bound allows.
func (l *limiter) wake() {
	for l.inFlight < l.limit && l.queue.Len() > 0 {
		l.queue.Remove(l.queue.Front()).(chan time.Time) <- l.now()
		l.inFlight++
	}
}

// release ends a request that was sent at start and took latency. Only an answered request tells
// the estimator something.
func (l *limiter) release(start time.Time, latency time.Duration, answered bool) {
	now := start.Add(latency)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight--
	if answered {
		l.estimator.observe(latency, l.queue.Len() > 0)
	}
	if l.overload {
		l.limit = min(l.estimator.bound(now, l.inFlight, l.limit, l.delayAllowance()), l.maxInFlight)
	} else {
		l.estimator.endWindow(now)
	}
	l.wake()
}

// limiterState is what the metrics show of a limiter. schedulingDelay is zero without an overload.
type limiterState struct {
	inFlight, queued, limit int
	schedulingDelay         time.Duration
}

func (l *limiter) state() limiterState {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := limiterState{inFlight: l.inFlight, queued: l.queue.Len(), limit: l.limit}
	if l.overload {
		s.schedulingDelay = l.schedulingDelay
	}
	return s
}
