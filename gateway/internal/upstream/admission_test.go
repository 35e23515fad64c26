package upstream

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/semaphore"
)

func TestABurstQueuesAndIsNotRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const maxInFlight, maxQueueTimeout = 256, 5 * time.Second // the defaults of the settings
		const workers, serviceTime = 16, 100 * time.Millisecond
		limiter, slots := newLimiter(maxInFlight, maxQueueTimeout, time.Now), semaphore.NewWeighted(workers)
		var refused atomic.Int64
		var wait sync.WaitGroup
		for range 400 { // more than are let in at once, and work for two and a half seconds
			wait.Go(func() {
				if !limiter.acquire() {
					refused.Add(1)
					return
				}
				start := time.Now()
				_ = slots.Acquire(t.Context(), 1)
				time.Sleep(serviceTime)
				slots.Release(1)
				limiter.release(start, time.Since(start), true)
			})
		}
		wait.Wait()
		if n := refused.Load(); n > 0 {
			t.Errorf("%d of a burst were refused", n)
		}
	})
}

func TestASustainedLoadShortensTheQueueTimeout(t *testing.T) {
	t.Parallel()
	now := time.Now()
	l := newLimiter(1, time.Second, func() time.Time { return now })
	l.acquire()
	l.release(now.Add(-400*time.Millisecond), 400*time.Millisecond, true)
	l.estimator.minLatency = 20 * time.Millisecond
	for _, c := range []struct {
		what           string
		after          time.Duration
		overload       bool
		latency, delay time.Duration
		want           time.Duration
	}{
		{"the first to wait", 0, false, 400 * time.Millisecond, 0, time.Second},
		{"soon after", burstWindow / 2, false, 400 * time.Millisecond, 0, time.Second},
		{"when waiting goes on", burstWindow, false, 400 * time.Millisecond, 0, 400 * time.Millisecond},
		{"and on", burstWindow, false, 400 * time.Millisecond, 0, 400 * time.Millisecond},
		{"at a quick address", burstWindow, false, 20 * time.Millisecond, 0, minQueueTimeout},
		{"in an overload", burstWindow, true, 400 * time.Millisecond, 0, 20 * time.Millisecond},
		{"in an overload of the gateway itself", burstWindow, true, 400 * time.Millisecond, 8 * time.Millisecond,
			80 * time.Millisecond},
		{"in a great one", burstWindow, true, 400 * time.Millisecond, 8 * time.Second, minQueueTimeout},
		{"after a pause", 2 * burstWindow, true, 400 * time.Millisecond, 0, time.Second},
	} {
		now = now.Add(c.after)
		l.overload, l.estimator.latency, l.schedulingDelay = c.overload, c.latency, c.delay
		if got := l.queueTimeout(); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
		if got := l.state().schedulingDelay; got != c.delay {
			t.Errorf("%s: shown with a delay of %v, want %v", c.what, got, c.delay)
		}
	}
	l.overload, l.schedulingDelay = false, time.Second
	if got := l.state().schedulingDelay; got != 0 {
		t.Errorf("without an overload: shown with a delay of %v", got)
	}
}

// BenchmarkLimiter measures what the limiter costs a request that does not queue, with the two
// looks at the clock around it: alone, and beside requests on other CPUs.
func BenchmarkLimiter(b *testing.B) {
	request := func(l *limiter) {
		if l.acquire() {
			start := time.Now()
			l.release(start, time.Since(start), true)
		}
	}
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		l := newLimiter(256, time.Second, time.Now)
		for b.Loop() {
			request(l)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		l := newLimiter(256, time.Second, time.Now)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				request(l)
			}
		})
	})
}
