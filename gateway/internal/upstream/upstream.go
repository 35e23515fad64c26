// Package upstream provides the connection to a service: a DNS name whose addresses share the load.
// It looks the name up again and again, keeps connections, opens circuit breakers, limits the
// requests in flight, sends again what was not delivered, and asks services on behalf of the
// gateway itself.
//
// Start reading at Upstream.Send, then at limiter in admission.go.
package upstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/time/rate"

	"github.com/realmgate/realmgate/pkg/tlsfiles"
	"github.com/realmgate/realmgate/pkg/trace"
)

// Upstream is a service: a name that may stand for several addresses, each with its own
// connections, circuit breaker and limiter.
type Upstream struct {
	name       string // the audience of identities and the label of metrics
	host, port string
	sign       func() (string, error) // signs an identity of the gateway itself for this service
	traces     *trace.Provider        // nil: off
	files      *tlsfiles.Files        // nil: plain HTTP
	cfg        Config
	log        *slog.Logger
	metrics    *Metrics
	lookup     func(ctx context.Context, network, host string) ([]netip.Addr, error)
	replicas   atomic.Pointer[[]*replica]
	resolving  chan struct{}  // a mutex with context: held during a look-up
	resolveNow chan struct{}  // asks Run for a look-up
	resolvedAt time.Time      // the last look-up; guarded by resolving
	retrying   atomic.Int32   // requests that are sent again although they may have arrived
	shedLog    rate.Sometimes // limits the log lines about an overload
}

// Call says how a request is sent.
type Call struct {
	Route   string        // names the span
	Timeout time.Duration // of all attempts together; 0: UPSTREAM_TIMEOUT
	Limited bool          // the request queues, or is refused, when the address is at its bound
}

// shedLogEvery is the least time between two log lines about an overload: a line for each refused
// request would add to the load.
const shedLogEvery = 10 * time.Second

// maxAttempts bounds how often one request is sent. Every attempt but the last provably did not
// arrive, except for one of a request that changes nothing.
const maxAttempts = 4

// errNoReplica says that every address was tried, or has an open circuit breaker.
var errNoReplica = errors.New("no address of the service can be asked now")

// New returns the service called name at url. Run must be called so that its name is looked up.
// sign returns an internal identity of the gateway itself for this service.
func New(name, url string, cfg Config, sign func() (string, error), traces *trace.Provider, log *slog.Logger,
	m *Metrics) (*Upstream, error) {
	host, port, err := hostPort(url, cfg.TLS.Cert != "")
	if err != nil {
		return nil, err
	}
	files, err := cfg.TLS.Open(log)
	if err != nil {
		return nil, err
	}
	u := &Upstream{
		name: name, host: host, port: port, files: files, cfg: cfg, sign: sign, traces: traces,
		log: log, metrics: m, lookup: net.DefaultResolver.LookupNetIP,
		resolving: make(chan struct{}, 1), resolveNow: make(chan struct{}, 1),
		shedLog: rate.Sometimes{Interval: shedLogEvery},
	}
	u.replicas.Store(&[]*replica{})
	m.add(u)
	return u, nil
}

// Name returns the name of the service.
func (u *Upstream) Name() string { return u.name }

// Host returns the DNS name of the service, for the Host header.
func (u *Upstream) Host() string { return u.host }

func (u *Upstream) close() {
	for _, r := range *u.replicas.Load() {
		r.client.CloseIdleConnections()
	}
}

// Send sends req to one of the addresses and reads the answer into resp. It sends again, elsewhere
// if it can, only what was not delivered. The error names the service, not the address; it is
// ErrOverloaded when a limited request was refused.
func (u *Upstream) Send(ctx context.Context, req *fasthttp.Request, resp *fasthttp.Response, call Call) error {
	span := u.startSpan(ctx, req, call.Route)
	err := u.deliver(req, cmp.Or(call.Timeout, u.cfg.Timeout),
		func(r *replica, timeout time.Duration) (time.Duration, error) {
			latency, err := r.roundTrip(call.Limited, func() error {
				req.SetTimeout(timeout)
				return r.client.Do(req, resp)
			})
			if err == nil && resp.ConnectionClose() {
				u.avoid(r)
			}
			return latency, err
		})
	endSpan(span, resp, err)
	return err
}

// attempt sends a request to one address and reads the answer, or its header. The latency does not
// include the time in the queue.
type attempt func(r *replica, timeout time.Duration) (latency time.Duration, err error)

// deliver looks the name up again when none of its addresses can be reached.
func (u *Upstream) deliver(req *fasthttp.Request, timeout time.Duration, try attempt) error {
	start, known := time.Now(), u.replicas.Load()
	err := u.deliverToKnown(req, timeout, try)
	if unreachable(err) && u.resolveAgain(known, timeout-time.Since(start)) {
		err = u.deliverToKnown(req, timeout-time.Since(start), try)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrOverloaded):
		u.metrics.shed.WithLabelValues(u.name).Inc()
		u.shedLog.Do(func() {
			u.log.Warn("requests are refused: more come than the service can serve in time", "upstream", u.name, "counted_by",
				"upstream_shed_total")
		})
	default:
		u.metrics.failures.WithLabelValues(u.name).Inc()
	}
	return fmt.Errorf("%s: %w", u.name, err)
}

// deliverToKnown tries the addresses of the last look-up.
func (u *Upstream) deliverToKnown(req *fasthttp.Request, timeout time.Duration, try attempt) error {
	var tried [maxAttempts]*replica
	var mayHaveArrived bool
	err := errNoReplica
	for attempt := range maxAttempts {
		r, done := u.choose(tried[:attempt])
		if r == nil {
			break
		}
		if attempt > 0 {
			u.metrics.retries.WithLabelValues(u.name).Inc()
		}
		tried[attempt] = r
		var latency time.Duration
		latency, err = try(r, timeout)
		done(err)
		if err == nil {
			return nil
		}
		if timeout -= latency; timeout <= 0 {
			break
		}
		if !notSent(err) {
			if mayHaveArrived || !repeatable(req, err) {
				break
			}
			mayHaveArrived = true
			u.retrying.Add(1)
			defer u.retrying.Add(-1)
		}
		if errors.Is(err, errStale) || !isDialError(err) {
			r.client.CloseIdleConnections() // they ended with this one
			tried[attempt] = nil
		}
	}
	return err
}

// notSent reports whether a request never left. A request that found no free connection never did
// either, but it has waited long enough.
func notSent(err error) bool { return isDialError(err) || errors.Is(err, errStale) }

// repeatable reports whether req may be sent once more although it may have arrived: the connection
// ended before a byte of the answer came, and the method changes nothing. It is sent once more
// only, because the request may be what ended the service.
func repeatable(req *fasthttp.Request, err error) bool {
	if !req.Header.IsGet() && !req.Header.IsHead() {
		return false
	}
	return errors.Is(err, fasthttp.ErrConnectionClosed) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE)
}
