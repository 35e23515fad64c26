// Package ratelimit provides rate limits: their form in settings, and their counts, shared through
// Redis or, while Redis is away, kept by each process alone. The shared algorithm is GCRA (ITU-T
// I.371), the local one a token bucket. Start reading at Limiter.
package ratelimit

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/maypok86/otter/v2"
	"github.com/redis/go-redis/v9"
	"golang.org/x/time/rate"

	"github.com/realmgate/realmgate/pkg/monotonic"
)

// Rate is a limit, Count events per Period with a burst of Count. The zero Rate is no limit.
type Rate struct {
	Count  int
	Period time.Duration
}

// UnmarshalText reads "<count>/<Go duration>", for example "10/15m", or "off".
func (r *Rate) UnmarshalText(b []byte) error {
	s := string(b)
	if s == "off" {
		*r = Rate{}
		return nil
	}
	count, period, ok := strings.Cut(s, "/")
	n, err := strconv.Atoi(count)
	d, err2 := time.ParseDuration(period)
	if !ok || err != nil || err2 != nil || n < 1 || d <= 0 {
		return fmt.Errorf("%q is no rate: write <count>/<duration>, for example 10/15m, or off", s)
	}
	*r = Rate{Count: n, Period: d}
	return nil
}

// String writes the rate as UnmarshalText reads it.
func (r Rate) String() string {
	if r.Off() {
		return "off"
	}
	return fmt.Sprintf("%d/%s", r.Count, r.Period)
}

// Off reports whether there is no limit.
func (r Rate) Off() bool { return r.Count == 0 }

// Result is the decision about an event and the state of its limit.
type Result struct {
	Allowed    bool
	Remaining  int
	RetryAfter time.Duration // when not allowed
	ResetAfter time.Duration // until the whole burst is there again
}

// Limiter counts events by key.
type Limiter struct {
	shared *redis_rate.Limiter
	local  *otter.Cache[string, *rate.Limiter]
	now    func() time.Time
	onErr  func(error)
	pause  monotonic.Pause // after a failure of Redis, so that its absence does not slow every request
}

// localKeys bounds the keys that a process counts by itself while Redis is unreachable.
const localKeys = 100_000

// retryRedisAfter is the pause after a failure of Redis.
const retryRedisAfter = time.Second

// New returns a limiter that shares its counts through rdb; onErr hears of each failure of Redis.
// rdb may be nil: then the limiter is local.
func New(rdb redis.UniversalClient, onErr func(error)) (*Limiter, error) {
	local, err := otter.New(&otter.Options[string, *rate.Limiter]{MaximumSize: localKeys})
	if err != nil {
		return nil, err
	}
	l := &Limiter{local: local, now: monotonic.Clock(), onErr: onErr}
	if rdb != nil {
		l.shared = redis_rate.NewLimiter(rdb)
	}
	return l, nil
}

// Allow counts n events of key against r; n = 0 only checks whether one would be allowed.
func (l *Limiter) Allow(ctx context.Context, key string, r Rate, n int) Result {
	if r.Off() {
		return Result{Allowed: true}
	}
	if l.shared != nil && l.pause.Over() {
		of := redis_rate.Limit{Rate: r.Count, Burst: r.Count, Period: r.Period}
		res, err := l.shared.AllowN(ctx, key, of, n)
		if err == nil && res.ResetAfter > 2*r.Period { // impossible unless Redis's clock was ahead
			if err = l.shared.Reset(ctx, key); err == nil {
				res, err = l.shared.AllowN(ctx, key, of, n)
			}
		}
		if err == nil {
			return fromRedis(res, n, r)
		}
		if ctx.Err() == nil {
			l.pause.Begin(retryRedisAfter)
		}
		l.onErr(err)
	}
	return l.allowLocally(key, r, n)
}

func fromRedis(res *redis_rate.Result, n int, r Rate) Result {
	out := Result{Allowed: res.Allowed >= n, Remaining: res.Remaining, RetryAfter: max(res.RetryAfter, 0),
		ResetAfter: res.ResetAfter}
	if n == 0 && res.Remaining == 0 {
		out.Allowed = false
		out.RetryAfter = r.Period / time.Duration(r.Count)
	}
	return out
}

// allowLocally counts in this process: a bucket of r.Count tokens, which is full after r.Period.
func (l *Limiter) allowLocally(key string, r Rate, n int) Result {
	interval := r.Period / time.Duration(r.Count)
	bucket, ok := l.local.GetIfPresent(key)
	if !ok {
		bucket, _ = l.local.SetIfAbsent(key, rate.NewLimiter(rate.Every(interval), r.Count))
	}
	now := l.now()
	allowed := n > 0 && bucket.AllowN(now, n)
	tokens := bucket.TokensAt(now)
	result := Result{
		Allowed: allowed || n == 0 && tokens >= 1, Remaining: int(max(tokens, 0)),
		ResetAfter: time.Duration((float64(r.Count) - tokens) * float64(interval)),
	}
	if !result.Allowed {
		result.RetryAfter = time.Duration((float64(max(n, 1)) - tokens) * float64(interval))
	}
	return result
}

// Reset forgets the events of key.
func (l *Limiter) Reset(ctx context.Context, key string) {
	l.local.Invalidate(key)
	if l.shared == nil {
		return
	}
	if err := l.shared.Reset(ctx, key); err != nil {
		l.onErr(err)
	}
}
