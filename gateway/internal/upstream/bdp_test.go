package upstream

import (
	"container/heap"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/semaphore"
)

// simulated is a service of a test in which no time passes but its own: it works on width requests
// at once, each for one service time; the others wait inside of it in order. The gateway keeps it
// as full as the bound of its limiter allows, as in an overload.
type simulated struct {
	now       time.Time
	width     int
	each      time.Duration
	noise     float64 // how much of each is random
	random    *rand.Rand
	limiter   *limiter
	running   departures
	queue     []time.Time // when those that wait were sent
	latencies []time.Duration
	busiest   int
}

type departure struct{ sent, at time.Time }

type departures []departure

func (d departures) Len() int           { return len(d) }
func (d departures) Less(i, j int) bool { return d[i].at.Before(d[j].at) }
func (d departures) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *departures) Push(x any)        { *d = append(*d, x.(departure)) }
func (d *departures) Pop() any {
	old := *d
	last := old[len(old)-1]
	*d = old[:len(old)-1]
	return last
}

// simulate returns a service in an overload that has just begun: it holds maxInFlight requests, and
// its estimator knows minLatency.
func simulate(width int, each, alone time.Duration, most int) *simulated {
	s := &simulated{now: time.Unix(1_800_000_000, 0), width: width, each: each, random: rand.New(rand.NewPCG(1, 2))}
	s.limiter = newLimiter(most, 5*time.Second, func() time.Time { return s.now })
	s.limiter.overload, s.limiter.estimator.minLatency = true, alone
	s.limiter.estimator.begin(s.now)
	return s
}

// fill sends as many requests as the bound allows.
func (s *simulated) fill() {
	for s.limiter.queue.Len() < 10 {
		s.limiter.queue.PushBack(make(chan time.Time, 1))
	}
	s.limiter.wake()
	for len(s.queue)+len(s.running) < s.limiter.inFlight {
		s.queue = append(s.queue, s.now)
	}
	for len(s.running) < s.width && len(s.queue) > 0 {
		each := float64(s.each) * (1 + s.noise*(2*s.random.Float64()-1))
		heap.Push(&s.running, departure{s.queue[0], s.now.Add(time.Duration(each))})
		s.queue = s.queue[1:]
		// never two at once, or every answer of a window comes at its end
		s.now = s.now.Add(s.each / time.Duration(16*s.width))
	}
	s.busiest = max(s.busiest, s.limiter.inFlight)
}

// run lets the service work and forgets what was before.
func (s *simulated) run(lasts time.Duration) {
	s.latencies, s.busiest = nil, 0
	for end := s.now.Add(lasts); s.now.Before(end); {
		s.fill()
		d := heap.Pop(&s.running).(departure)
		if d.at.After(s.now) {
			s.now = d.at
		}
		s.latencies = append(s.latencies, s.now.Sub(d.sent))
		s.limiter.release(d.sent, s.now.Sub(d.sent), true)
	}
}

// slowest is the longest time of an answer in the last run.
func (s *simulated) slowest() time.Duration {
	var longest time.Duration
	for _, latency := range s.latencies {
		longest = max(longest, latency)
	}
	return longest
}

// busyFor fails the test unless the last run, which lasted so long, did at least so many in a
// hundred of the requests that the service can do.
func (s *simulated) busyFor(t *testing.T, lasts time.Duration, percent int) {
	t.Helper()
	if got, could := len(s.latencies), int(lasts/s.each)*s.width; got < could*percent/100 {
		t.Errorf("it did %d of the %d requests that it could have done", got, could)
	}
}

func TestTheBoundOfAnOverloadFindsWhatTheServiceCanDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		width int
		each  time.Duration
		alone time.Duration // what is known when the overload begins
	}{
		{"a service whose time is known", 16, 100 * time.Millisecond, 100 * time.Millisecond},
		{"a quick one", 4, time.Millisecond, time.Millisecond},
		{"one at a time", 1, 50 * time.Millisecond, 50 * time.Millisecond},
		{"a service that has become ten times slower", 16, 100 * time.Millisecond, 10 * time.Millisecond},
		{"a service that has become ten times quicker", 16, 10 * time.Millisecond, 100 * time.Millisecond},
		{"a service of which nothing is known", 16, 100 * time.Millisecond, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := simulate(c.width, c.each, c.alone, 256)
			s.run(30 * time.Second)
			s.run(30 * time.Second)
			if most := 2*c.width + 2; s.busiest > most {
				t.Errorf("it was given %d requests at once, of %d that it can work on", s.busiest, c.width)
			}
			if got := s.slowest(); got > 3*c.each {
				t.Errorf("an answer took up to %v, %v without a queue", got, c.each)
			}
			s.busyFor(t, 30*time.Second, 85)
		})
	}
}

// TestTheBoundOfAnOverloadOutlivesNoise: times that scatter, as on a busy machine, must not talk
// the bound down, window after window.
func TestTheBoundOfAnOverloadOutlivesNoise(t *testing.T) {
	t.Parallel()
	s := simulate(64, 20*time.Millisecond, time.Millisecond, 256) // it was quick while the machine was quiet
	s.noise = 0.95
	s.run(30 * time.Second)
	s.run(30 * time.Second)
	s.busyFor(t, 30*time.Second, 75)
}

// TestABusyGatewayLeavesTheServiceAlone: when the gateway's own goroutines are late, times say
// nothing of the service.
func TestABusyGatewayLeavesTheServiceAlone(t *testing.T) {
	t.Parallel()
	s := simulate(256, 100*time.Millisecond, time.Millisecond, 256)
	s.limiter.schedulingDelay = 20 * time.Millisecond
	s.run(10 * time.Second)
	s.run(10 * time.Second)
	s.busyFor(t, 10*time.Second, 75)
}

// TestAnOverloadEndsWithTheLoad: once the service is asked for less than it can do nobody is
// refused, whatever the bound had become.
func TestAnOverloadEndsWithTheLoad(t *testing.T) {
	t.Parallel()
	for _, left := range []int{300, 800} { // a second, of 1600
		synctest.Test(t, func(t *testing.T) {
			limiter := newLimiter(256, 5*time.Second, time.Now)
			slots := semaphore.NewWeighted(16)
			var refused atomic.Int64
			ask := func() {
				if !limiter.acquire() {
					refused.Add(1)
					return
				}
				start := time.Now()
				_ = slots.Acquire(t.Context(), 1)
				time.Sleep(10 * time.Millisecond)
				slots.Release(1)
				limiter.release(start, time.Since(start), true)
			}
			random := rand.New(rand.NewPCG(1, 2))
			offer := func(rate int, lasts time.Duration) int64 {
				before := refused.Load()
				for end := time.Now().Add(lasts); time.Now().Before(end); {
					time.Sleep(time.Duration(random.ExpFloat64() * float64(time.Second) / float64(rate)))
					go ask()
				}
				return refused.Load() - before
			}
			if offer(3200, 4*time.Second) == 0 {
				t.Error("nobody is refused in the overload")
			}
			offer(left, 2*time.Second)
			if n := offer(left, 10*time.Second); n > 0 {
				t.Errorf("%d of %d were refused when the load was small again", n, 10*left)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
		})
	}
}

func TestTheBoundOfAnOverloadFollowsTheService(t *testing.T) {
	t.Parallel()
	s := simulate(16, 50*time.Millisecond, 50*time.Millisecond, 256)
	s.run(10 * time.Second)
	s.each = 200 * time.Millisecond
	s.run(30 * time.Second)
	s.run(10 * time.Second)
	if got := s.slowest(); got > 3*s.each {
		t.Errorf("it became slower: an answer took up to %v, %v without a queue", got, s.each)
	}
	s.each = 20 * time.Millisecond
	s.run(30 * time.Second)
	s.run(10 * time.Second)
	s.busyFor(t, 10*time.Second, 85) // it became quicker
	if s.limiter.limit > 256 || s.limiter.limit < 1 {
		t.Errorf("the bound is %d", s.limiter.limit)
	}
}
