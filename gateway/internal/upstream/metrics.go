package upstream

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
)

// Metrics holds the metrics of all upstreams of a process.
type Metrics struct {
	failures, retries, shed *prometheus.CounterVec
	latency                 *prometheus.HistogramVec
	addresses               *prometheus.GaugeVec
	inFlight, queued, limit *prometheus.Desc
	schedulingDelay, open   *prometheus.Desc

	mu        sync.Mutex
	upstreams []*Upstream
}

// NewMetrics registers the metrics of upstreams.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	names := []string{"upstream"}
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, names)
	}
	m := &Metrics{
		failures: counter("upstream_failures_total", "Requests that a service did not answer."),
		retries:  counter("upstream_retries_total", "Requests sent again because they had not been delivered."),
		shed: counter("upstream_shed_total",
			"Requests refused because a service was at its bound of requests in flight."),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "upstream_request_duration_seconds",
			Help:    "Time from sending a request to a service to its answer, without the time in the queue, of each answered attempt.",
			Buckets: httpx.DurationBuckets(),
		}, names),
		addresses: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "upstream_addresses",
			Help: "Addresses of a service."}, names),
		open: prometheus.NewDesc("upstream_breakers_open", "Addresses of a service with an open circuit breaker.", names,
			nil),
		inFlight: prometheus.NewDesc("upstream_in_flight",
			"Requests that all addresses of a service work on, without those of public routes.", names, nil),
		queued: prometheus.NewDesc("upstream_waiting",
			"Requests that queue in the gateway for a service.", names, nil),
		limit: prometheus.NewDesc("upstream_in_flight_limit",
			"Bound of the requests in flight to a service: UPSTREAM_MAX_IN_FLIGHT an address, less during an overload.", names,
			nil),
		schedulingDelay: prometheus.NewDesc("upstream_late_seconds",
			"Scheduling delay of the gateway's goroutines during an overload, of the address with the longest.", names, nil),
	}
	reg.MustRegister(m.failures, m.retries, m.shed, m.latency, m.addresses, m)
	return m
}

// add includes u in the metrics. Its counters start at 0: a counter that appears with its first
// increment has no rate.
func (m *Metrics) add(u *Upstream) {
	for _, c := range []*prometheus.CounterVec{m.failures, m.retries, m.shed} {
		c.WithLabelValues(u.name)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.upstreams = append(m.upstreams, u)
}

// Describe implements prometheus.Collector. Each scrape reads the limiters and breakers of the
// current addresses, so that a request does not count them.
func (m *Metrics) Describe(to chan<- *prometheus.Desc) {
	to <- m.inFlight
	to <- m.queued
	to <- m.limit
	to <- m.schedulingDelay
	to <- m.open
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, u := range m.upstreams {
		var all limiterState
		open := 0
		for _, r := range *u.replicas.Load() {
			s := r.limiter.state()
			all = limiterState{inFlight: all.inFlight + s.inFlight, queued: all.queued + s.queued, limit: all.limit + s.limit,
				schedulingDelay: max(all.schedulingDelay, s.schedulingDelay)}
			if r.breaker.State() != gobreaker.StateClosed {
				open++
			}
		}
		to <- prometheus.MustNewConstMetric(m.inFlight, prometheus.GaugeValue, float64(all.inFlight), u.name)
		to <- prometheus.MustNewConstMetric(m.queued, prometheus.GaugeValue, float64(all.queued), u.name)
		to <- prometheus.MustNewConstMetric(m.limit, prometheus.GaugeValue, float64(all.limit), u.name)
		to <- prometheus.MustNewConstMetric(m.schedulingDelay, prometheus.GaugeValue, all.schedulingDelay.Seconds(), u.name)
		to <- prometheus.MustNewConstMetric(m.open, prometheus.GaugeValue, float64(open), u.name)
	}
}
