package gateway

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
)

type upstreamMetrics struct {
	failures, retries, shed *prometheus.CounterVec
	took                    *prometheus.HistogramVec
	addresses               *prometheus.GaugeVec
	working, waiting, limit *prometheus.Desc
	late, open              *prometheus.Desc

	mu        sync.Mutex
	upstreams []*upstream
}

func newUpstreamMetrics(reg prometheus.Registerer) *upstreamMetrics {
	names := []string{"upstream"}
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, names)
	}
	m := &upstreamMetrics{
		failures: counter("upstream_failures_total", "Requests that a service did not answer."),
		retries:  counter("upstream_retries_total", "Requests sent again because they had not been delivered."),
		shed:     counter("upstream_shed_total", "Requests refused because a service works on as many as it may."),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "upstream_request_duration_seconds",
			Help:    "Time from sending a request to a service, once it may be sent, to its answer; of every answered try.",
			Buckets: httpx.DurationBuckets(),
		}, names),
		addresses: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "upstream_addresses",
			Help: "Addresses that the name of a service stands for."}, names),
		open: prometheus.NewDesc("upstream_breakers_open", "Addresses that are not asked for now.", names, nil),
		working: prometheus.NewDesc("upstream_in_flight",
			"Requests that a service works on, of all its addresses; those of public routes aside.", names, nil),
		waiting: prometheus.NewDesc("upstream_waiting",
			"Requests that wait in the gateway until a service may work on them.", names, nil),
		limit: prometheus.NewDesc("upstream_in_flight_limit",
			"Requests that a service may work on at once: UPSTREAM_MAX_IN_FLIGHT an address, in an overload what the address was measured to serve in time.", names, nil),
		late: prometheus.NewDesc("upstream_late_seconds",
			"In an overload, how late the gateway runs a request whose turn has come, for want of CPU time; of the address where that is longest.", names, nil),
	}
	reg.MustRegister(m.failures, m.retries, m.shed, m.took, m.addresses, m)
	return m
}

// add makes u one of those whose turns and breakers are shown, and counts that nothing has failed
// yet: a counter that is not there until it is 1 has no rate.
func (m *upstreamMetrics) add(u *upstream) {
	for _, c := range []*prometheus.CounterVec{m.failures, m.retries, m.shed} {
		c.WithLabelValues(u.name)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.upstreams = append(m.upstreams, u)
}

// Describe and Collect make the turns and breakers a prometheus.Collector: they are looked at when
// somebody asks, not with each request, and only those of the addresses that the name stands for
// now.
func (m *upstreamMetrics) Describe(to chan<- *prometheus.Desc) {
	to <- m.working
	to <- m.waiting
	to <- m.limit
	to <- m.late
	to <- m.open
}

// Collect is described with Describe.
func (m *upstreamMetrics) Collect(to chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, u := range m.upstreams {
		var all turnState
		open := 0
		for _, r := range *u.replicas.Load() {
			s := r.turns.state()
			all = turnState{working: all.working + s.working, waiting: all.waiting + s.waiting, limit: all.limit + s.limit,
				late: max(all.late, s.late)}
			if r.breaker.State() != gobreaker.StateClosed {
				open++
			}
		}
		to <- prometheus.MustNewConstMetric(m.working, prometheus.GaugeValue, float64(all.working), u.name)
		to <- prometheus.MustNewConstMetric(m.waiting, prometheus.GaugeValue, float64(all.waiting), u.name)
		to <- prometheus.MustNewConstMetric(m.limit, prometheus.GaugeValue, float64(all.limit), u.name)
		to <- prometheus.MustNewConstMetric(m.late, prometheus.GaugeValue, all.late.Seconds(), u.name)
		to <- prometheus.MustNewConstMetric(m.open, prometheus.GaugeValue, float64(open), u.name)
	}
}
