package upstream

import (
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"
	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/pkg/monotonic"
)

// replica is one address of a service.
type replica struct {
	addr    string
	client  *fasthttp.HostClient
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	limiter *limiter
	latency prometheus.Observer
	// draining begins when an answer says "Connection: close": the replica is about to end and gets
	// requests only when there is no other. A connection that is opened while it closes its
	// listener is reset, and whether the request arrived cannot be known.
	draining monotonic.Pause
}

// drainTime is how long an address is avoided after it closed a connection. A replica that stops
// keeps answering for less.
const drainTime = time.Second

// The breaker of an address opens after breakerFailures failures in a row, and lets one request try
// again after breakerPause.
const (
	breakerFailures = 5
	breakerPause    = 500 * time.Millisecond
)

// maxIdle is shorter than any service's own idle timeout, so that the gateway closes connections
// first.
const maxIdle = 30 * time.Second

func (u *Upstream) newReplica(addr string) *replica {
	r := &replica{addr: addr, latency: u.metrics.latency.WithLabelValues(u.name),
		limiter: newLimiter(u.cfg.MaxInFlight, u.cfg.QueueWait, time.Now), client: &fasthttp.HostClient{
			Addr: addr, MaxConns: u.cfg.MaxConns, MaxConnWaitTimeout: u.cfg.QueueWait, MaxIdemponentCallAttempts: 1,
			MaxIdleConnDuration: maxIdle, ConnPoolStrategy: fasthttp.LIFO,
			ReadBufferSize: 16 << 10, DisablePathNormalizing: true, NoDefaultUserAgentHeader: true, SecureErrorLogMessage: true,
			DialTimeout: u.dial,
		}}
	r.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name: addr, Timeout: breakerPause,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakerFailures },
		IsExcluded: func(err error) bool {
			return errors.Is(err, errStale) || errors.Is(err, fasthttp.ErrNoFreeConns) || errors.Is(err, ErrOverloaded)
		},
		OnStateChange: func(_ string, from, to gobreaker.State) {
			// The changes between open and half-open go on for as long as the address is dead.
			if from == gobreaker.StateClosed || to == gobreaker.StateClosed {
				u.log.Info("circuit breaker", "upstream", u.name, "addr", addr, "from", from.String(), "to", to.String())
			}
		},
	})
	return r
}

// roundTrip calls send, as soon as the limiter lets a limited request through. The latency does not
// include the time in the queue.
func (r *replica) roundTrip(limited bool, send func() error) (latency time.Duration, err error) {
	if limited && !r.limiter.acquire() {
		return 0, ErrOverloaded
	}
	start := time.Now()
	err = send()
	latency = time.Since(start)
	if limited {
		r.limiter.release(start, latency, err == nil)
	}
	if err == nil {
		r.latency.Observe(latency.Seconds())
	}
	return latency, err
}

// avoid marks an address that is about to end. The name is looked up then, because a successor may
// be there that is not known yet.
func (u *Upstream) avoid(r *replica) {
	if r.draining.Over() {
		select {
		case u.resolveNow <- struct{}{}:
		default: // a look-up is due anyway
		}
	}
	r.draining.Begin(drainTime)
}

// choose returns the less busy of two random addresses (Mitzenmacher, The Power of Two Choices,
// 2001) that were not tried and whose breaker allows a request; an address that is about to end
// only when there is no other. done must be called with the outcome.
func (u *Upstream) choose(tried []*replica) (r *replica, done func(error)) {
	all := *u.replicas.Load()
	if len(all) == 1 {
		if slices.Contains(tried, all[0]) {
			return nil, nil
		}
		return allow(all[0])
	}
	if len(all) == 0 {
		return nil, nil
	}
	i := rand.IntN(len(all))
	j := (i + 1 + rand.IntN(len(all)-1)) % len(all)
	if all[j].client.PendingRequests() < all[i].client.PendingRequests() {
		i, j = j, i
	}
	chosen := [2]*replica{all[i], all[j]}
	for _, draining := range [2]bool{false, true} {
		for _, candidates := range [2][]*replica{chosen[:], all} { // asking a breaker twice does no harm
			if r, done = allowFirst(candidates, draining, tried); r != nil {
				return r, done
			}
		}
	}
	return nil, nil
}

// allowFirst returns the first candidate that was not tried, is draining or not as asked, and whose
// breaker allows a request.
func allowFirst(candidates []*replica, draining bool, tried []*replica) (r *replica, done func(error)) {
	for _, c := range candidates {
		if c.draining.Over() == draining || slices.Contains(tried, c) {
			continue
		}
		if r, done = allow(c); r != nil {
			return r, done
		}
	}
	return nil, nil
}

func allow(r *replica) (*replica, func(error)) {
	done, err := r.breaker.Allow()
	if err != nil {
		return nil, nil
	}
	return r, done
}
