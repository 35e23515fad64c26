package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"
	"github.com/valyala/fasthttp"
	"golang.org/x/time/rate"

	"github.com/realmgate/realmgate/pkg/monotonic"
	"github.com/realmgate/realmgate/pkg/tlsfiles"
	"github.com/realmgate/realmgate/pkg/trace"
)

// upstream is a service: a name that may stand for several addresses, each with its own connections
// and circuit breaker.
type upstream struct {
	name       string // of the service: the audience of identities and the label of metrics
	host, port string
	sign       func() (string, error) // signs an identity of the gateway itself for this service
	traces     *trace.Provider        // nil: off
	files      *tlsfiles.Files        // nil: plain HTTP
	cfg        UpstreamConfig
	log        *slog.Logger
	metrics    *upstreamMetrics
	lookup     func(ctx context.Context, network, host string) ([]netip.Addr, error) // the resolver's
	replicas   atomic.Pointer[[]*replica]
	looking    chan struct{}  // held by the one that looks the name up
	lookNow    chan struct{}  // asks run to look it up
	lookedUp   time.Time      // when that was last done; held by looking
	resending  atomic.Int32   // requests that are sent again though they may have arrived
	shedding   rate.Sometimes // a line for the log
}

// replica is one address of a service.
type replica struct {
	addr    string
	client  *fasthttp.HostClient
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	turns   *turns
	took    prometheus.Observer // hears how long an answer took
	// draining begins when an answer says "Connection: close": the replica is about to end and gets
	// requests only when there is no other. A connection that is opened at the moment when it
	// closes its listener is reset, and whether its request arrived cannot be known.
	draining monotonic.Pause
}

// drainTime is for how long an address is avoided after it closed a connection. A replica that
// stops answers on for less.
const drainTime = time.Second

// The breaker of an address opens after this many failures in a row, and lets one request try again
// after the pause.
const (
	breakerFailures = 5
	breakerPause    = 500 * time.Millisecond
)

// shedLogEvery is how often an overload is logged: a line for each refused request would be one
// more load.
const shedLogEvery = 10 * time.Second

// maxAttempts bounds how often one request is sent. Every attempt but the last provably did not
// arrive, except for one of a request that changes nothing.
const maxAttempts = 4

// hostPort reads the URL of a service: of https when the processes know each other by certificates,
// else of http.
func hostPort(service string, secure bool) (host, port string, err error) {
	scheme := "http"
	if secure {
		scheme = "https"
	}
	u, err := url.Parse(service)
	if err != nil || u.Scheme != scheme || u.Hostname() == "" || u.Port() == "" || (u.Path != "" && u.Path != "/") ||
		u.User != nil || u.RawQuery != "" {
		return "", "", fmt.Errorf("write %s://host:port (https with INTERNAL_TLS_*, http without)", scheme)
	}
	return u.Hostname(), u.Port(), nil
}

func newUpstream(name, service string, cfg UpstreamConfig, sign func() (string, error), traces *trace.Provider,
	log *slog.Logger, m *upstreamMetrics) (*upstream, error) {
	host, port, err := hostPort(service, cfg.TLS.Cert != "")
	if err != nil {
		return nil, err
	}
	files, err := cfg.TLS.Open(log)
	if err != nil {
		return nil, err
	}
	u := &upstream{
		name: name, host: host, port: port, files: files, cfg: cfg, sign: sign, traces: traces,
		log: log, metrics: m,
		lookup:  net.DefaultResolver.LookupNetIP,
		looking: make(chan struct{}, 1), lookNow: make(chan struct{}, 1), shedding: rate.Sometimes{Interval: shedLogEvery},
	}
	u.replicas.Store(&[]*replica{})
	m.add(u)
	return u, nil
}

func (u *upstream) newReplica(addr string) *replica {
	r := &replica{addr: addr, took: u.metrics.took.WithLabelValues(u.name),
		turns: newTurns(u.cfg.MaxInFlight, u.cfg.QueueWait, time.Now), client: &fasthttp.HostClient{
			Addr: addr, MaxConns: u.cfg.MaxConns, MaxConnWaitTimeout: u.cfg.QueueWait, MaxIdemponentCallAttempts: 1,
			// Shorter than any service's own idle time, so that connections are closed from this side.
			MaxIdleConnDuration: 30 * time.Second, ConnPoolStrategy: fasthttp.LIFO,
			ReadBufferSize: 16 << 10, DisablePathNormalizing: true, NoDefaultUserAgentHeader: true, SecureErrorLogMessage: true,
			DialTimeout: u.dial,
		}}
	r.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name: addr, Timeout: breakerPause,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakerFailures },
		IsExcluded: func(err error) bool {
			return errors.Is(err, errStale) || errors.Is(err, fasthttp.ErrNoFreeConns) || errors.Is(err, errBusy)
		},
		OnStateChange: func(_ string, from, to gobreaker.State) {
			// else between open and half-open, for as long as the address is dead
			if from == gobreaker.StateClosed || to == gobreaker.StateClosed {
				u.log.Info("circuit breaker", "upstream", u.name, "addr", addr, "from", from.String(), "to", to.String())
			}
		},
	})
	return r
}

func (u *upstream) close() {
	for _, r := range *u.replicas.Load() {
		r.client.CloseIdleConnections()
	}
}

var errNoReplica = errors.New("no address of the service can be asked now")

// upstreamCall says how a request is sent.
type upstreamCall struct {
	route   string        // in traces
	timeout time.Duration // of all attempts together; 0: UPSTREAM_TIMEOUT
	limited bool          // the request waits, or is refused, while the address works on as many as it may
}

// send sends req to one of the addresses and reads the answer into resp. It sends again, elsewhere
// if it can, only what was not delivered. The error names the service, not the address; it is
// errBusy when a limited request was refused.
func (u *upstream) send(ctx context.Context, req *fasthttp.Request, resp *fasthttp.Response, call upstreamCall) error {
	span := u.startSpan(ctx, req, call.route)
	err := u.deliver(req, resp, cmp.Or(call.timeout, u.cfg.Timeout), call.limited)
	endSpan(span, resp, err)
	return err
}

func (u *upstream) deliver(req *fasthttp.Request, resp *fasthttp.Response, patience time.Duration, inTurn bool) error {
	start, known := time.Now(), u.replicas.Load()
	err := u.sendToKnown(req, resp, patience, inTurn)
	if nobodyThere(err) && u.lookAgain(known, patience-time.Since(start)) {
		err = u.sendToKnown(req, resp, patience-time.Since(start), inTurn)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errBusy):
		u.metrics.shed.WithLabelValues(u.name).Inc()
		u.shedding.Do(func() {
			u.log.Warn("requests are refused: more come than the service can serve in time", "upstream", u.name, "counted_by",
				"upstream_shed_total")
		})
	default:
		u.metrics.failures.WithLabelValues(u.name).Inc()
	}
	return fmt.Errorf("%s: %w", u.name, err)
}

// sendToKnown is send to the addresses that the name had when it was last looked up.
func (u *upstream) sendToKnown(req *fasthttp.Request, resp *fasthttp.Response, patience time.Duration,
	inTurn bool) error {
	var tried [maxAttempts]*replica
	var again bool // it may have arrived once
	err := errNoReplica
	for attempt := range maxAttempts {
		r, done := u.pick(tried[:attempt])
		if r == nil {
			break
		}
		if attempt > 0 {
			u.metrics.retries.WithLabelValues(u.name).Inc()
		}
		tried[attempt] = r
		var took time.Duration
		took, err = r.exchange(req, resp, patience, inTurn)
		done(err)
		if err == nil {
			if resp.ConnectionClose() {
				u.avoid(r)
			}
			return nil
		}
		if patience -= took; patience <= 0 {
			break
		}
		if !undelivered(err) {
			if again || !repeatable(req, err) {
				break
			}
			again = true
			u.resending.Add(1)
			defer u.resending.Add(-1)
		}
		if errors.Is(err, errStale) || !isDialError(err) {
			r.client.CloseIdleConnections() // the others went with it
			tried[attempt] = nil
		}
	}
	return err
}

// avoid marks an address that is about to end. The name is looked up then: it may have a successor
// that is not known yet.
func (u *upstream) avoid(r *replica) {
	if r.draining.Over() {
		select {
		case u.lookNow <- struct{}{}:
		default: // it is to be looked up anyway
		}
	}
	r.draining.Begin(drainTime)
}

// exchange sends req and reads the answer, when its turn has come, and returns how long that took.
func (r *replica) exchange(req *fasthttp.Request, resp *fasthttp.Response, patience time.Duration,
	inTurn bool) (took time.Duration, err error) {
	req.SetTimeout(patience)
	if inTurn && !r.turns.take() {
		return 0, errBusy
	}
	start := time.Now()
	err = r.client.Do(req, resp)
	took = time.Since(start)
	if inTurn {
		r.turns.done(start, took, err == nil)
	}
	if err == nil {
		r.took.Observe(took.Seconds())
	}
	return took, err
}

// pick chooses the less busy of two random addresses (Mitzenmacher, The Power of Two Choices, 2001)
// that were not tried and whose breaker lets a request through; an address that is about to end
// only when there is no other. done must be called with the outcome.
func (u *upstream) pick(tried []*replica) (r *replica, done func(error)) {
	all := *u.replicas.Load()
	if len(all) == 1 {
		if slices.Contains(tried, all[0]) {
			return nil, nil
		}
		return admit(all[0])
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
		for _, candidates := range [2][]*replica{chosen[:], all} { // the breaker of one that was asked answers the same again
			if r, done = admitOne(candidates, draining, tried); r != nil {
				return r, done
			}
		}
	}
	return nil, nil
}

// admitOne returns the first of the candidates that is draining, or not, was not tried and is
// admitted.
func admitOne(candidates []*replica, draining bool, tried []*replica) (r *replica, done func(error)) {
	for _, c := range candidates {
		if c.draining.Over() == draining || slices.Contains(tried, c) {
			continue
		}
		if r, done = admit(c); r != nil {
			return r, done
		}
	}
	return nil, nil
}

func admit(r *replica) (*replica, func(error)) {
	done, err := r.breaker.Allow()
	if err != nil {
		return nil, nil
	}
	return r, done
}

// undelivered reports whether a request never left. One that waited for a connection in vain never
// did, but it has waited long enough.
func undelivered(err error) bool { return isDialError(err) || errors.Is(err, errStale) }

// repeatable reports whether req may be sent once more although it may have arrived: the connection
// ended before a byte of the answer came, and the method changes nothing. Not more often: the
// service may have died of it.
func repeatable(req *fasthttp.Request, err error) bool {
	if !req.Header.IsGet() && !req.Header.IsHead() {
		return false
	}
	return errors.Is(err, fasthttp.ErrConnectionClosed) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE)
}
