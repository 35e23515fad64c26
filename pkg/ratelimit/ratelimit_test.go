package ratelimit

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/realmgate/realmgate/pkg/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// limiter returns the limiter of one process. Its client waits long for Redis. The clients of
// redisdb.Open give up after 100 ms, so on a busy machine the limiter would count locally.
func limiter(t *testing.T, url string) *Limiter {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = testkit.Patience, testkit.Patience, testkit.Patience,
		testkit.Patience
	o.MaxRetries, o.DialerRetries = -1, 1
	rdb := redis.NewClient(o)
	t.Cleanup(func() { _ = rdb.Close() })
	l, err := New(rdb, func(err error) { t.Log("without Redis:", err) })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestALimitIsExactOverTwoProcessesAndManyCallers(t *testing.T) {
	t.Parallel()
	url := testkit.Redis(t).URL()
	processes := []*Limiter{limiter(t, url), limiter(t, url)}
	var allowed atomic.Int32
	var wait sync.WaitGroup
	for i := range 60 {
		wait.Go(func() {
			if processes[i%2].Allow(t.Context(), "k", Rate{Count: 7, Period: time.Hour}, 1).Allowed {
				allowed.Add(1)
			}
		})
	}
	wait.Wait()
	if got := allowed.Load(); got != 7 {
		t.Errorf("%d of 60 were allowed, want 7", got)
	}
}

func TestCheckingDoesNotCount(t *testing.T) {
	t.Parallel()
	redis := testkit.Redis(t)
	shared := limiter(t, redis.URL())
	alone, _ := New(nil, func(error) {})
	for name, l := range map[string]*Limiter{"shared": shared, "alone": alone} {
		r := Rate{Count: 2, Period: time.Hour}
		for range 5 {
			if !l.Allow(t.Context(), "k", r, 0).Allowed {
				t.Fatalf("%s: looking used the limit up", name)
			}
		}
		l.Allow(t.Context(), "k", r, 1)
		l.Allow(t.Context(), "k", r, 1)
		if res := l.Allow(t.Context(), "k", r, 0); res.Allowed || res.RetryAfter <= 0 {
			t.Errorf("%s: looking after the last one says %+v", name, res)
		}
		if res := l.Allow(t.Context(), "k", r, 1); res.Allowed || res.RetryAfter <= 0 || res.RetryAfter > time.Hour {
			t.Errorf("%s: one too many says %+v", name, res)
		}
		l.Reset(t.Context(), "k")
		if name == "shared" && !l.Allow(t.Context(), "k", r, 1).Allowed {
			t.Errorf("%s: not allowed after a reset", name)
		}
	}
}

func TestEachProcessLimitsAloneWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	redis := testkit.Redis(t)
	l := limiter(t, redis.URL())
	redis.Stop()
	allowed := 0
	for range 50 {
		if l.Allow(t.Context(), "k", Rate{Count: 5, Period: time.Hour}, 1).Allowed {
			allowed++
		}
	}
	if allowed != 5 {
		t.Errorf("%d of 50 were allowed, want 5", allowed)
	}
}

func TestRateIsReadFromSettings(t *testing.T) {
	for text, want := range map[string]Rate{"10/15m": {10, 15 * time.Minute}, "off": {}, "3/1h": {3, time.Hour}} {
		var r Rate
		if err := r.UnmarshalText([]byte(text)); err != nil || r != want {
			t.Errorf("%q = %v, %v; want %v", text, r, err, want)
		}
	}
	for _, text := range []string{"", "10", "10/", "/1m", "-1/1m", "0/1m", "10/0s", "10/-1m", "x/1m", "10/fortnight"} {
		var r Rate
		if err := r.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was accepted as %v", text, r)
		}
	}
}

// TestALimitIgnoresAClockOfRedisThatWasAhead and allows events before the time that it showed.
func TestALimitIgnoresAClockOfRedisThatWasAhead(t *testing.T) {
	t.Parallel()
	url, r := testkit.Redis(t).URL(), Rate{Count: 2, Period: time.Minute}
	l := limiter(t, url)
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(o)
	defer rdb.Close()
	// redis_rate stores the time, in seconds since 2017, at which the burst is whole again.
	ahead := time.Since(time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC)) + 400*24*time.Hour
	if err := rdb.Set(t.Context(), "rate:k", ahead.Seconds(), 0).Err(); err != nil {
		t.Fatal(err)
	}
	for n, want := range []bool{true, true, false} {
		if got := l.Allow(t.Context(), "k", r, 1); got.Allowed != want {
			t.Errorf("event %d: got %+v, want allowed %v", n, got, want)
		}
	}
}
