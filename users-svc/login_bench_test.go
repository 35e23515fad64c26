package users_test

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/realmgate/realmgate/users-svc"
)

// realHashes sets the default parameters of password hashes.
func realHashes(c *users.Config) { c.Passwords.MemoryKiB, c.Passwords.Time = 19456, 2 }

// BenchmarkLogin measures one login with the default parameters.
func BenchmarkLogin(b *testing.B) {
	h := start(b, realHashes)
	ann := h.signUp()
	for b.Loop() {
		h.signIn(ann.email, password)
	}
}

// BenchmarkLoginStorm measures 200 concurrent logins: logins per second, the peak heap, and the
// latency of another route meanwhile (p50 and p99).
func BenchmarkLoginStorm(b *testing.B) {
	h := start(b, realHashes)
	ann := h.signUp()
	for b.Loop() {
		var storm atomic.Bool
		storm.Store(true)
		var beside []time.Duration
		var peak uint64
		var watch sync.WaitGroup
		watch.Go(func() {
			for storm.Load() {
				at := time.Now()
				h.do(ann.identity, "GET", "/api/v1/users/me", nil).mustStatus(200)
				beside = append(beside, time.Since(at))
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapInuse)
				time.Sleep(2 * time.Millisecond)
			}
		})
		began := time.Now()
		ok := h.countConcurrent(200, func(int) bool {
			return h.do(anonymous, "POST", loginPath, map[string]string{"email": ann.email, "password": password}).status == 200
		})
		took := time.Since(began)
		storm.Store(false)
		watch.Wait()
		slices.Sort(beside)
		b.ReportMetric(float64(ok)/took.Seconds(), "logins/s")
		b.ReportMetric(float64(peak)/(1<<20), "heap-MiB")
		b.ReportMetric(float64(beside[len(beside)/2].Microseconds())/1000, "beside-p50-ms")
		b.ReportMetric(float64(beside[len(beside)*99/100].Microseconds())/1000, "beside-p99-ms")
		if ok != 200 {
			b.Errorf("logins that passed: got %d, want 200", ok)
		}
	}
}
