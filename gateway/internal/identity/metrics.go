package identity

import "github.com/prometheus/client_golang/prometheus"

// metrics count where a credential and its session state were found.
type metrics struct {
	remembered, checked            prometheus.Counter // JWTs
	memory, redis, users, failures prometheus.Counter // session states
}

func newMetrics(reg prometheus.Registerer) *metrics {
	tokens := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "jwt_checks_total", Help: "JWTs found in memory, or checked by their signature, valid or not.",
	}, []string{"by"})
	states := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "session_state_lookups_total", Help: "Session states by where they were found; failed ones were answered 503.",
	}, []string{"from"})
	reg.MustRegister(tokens, states)
	return &metrics{
		remembered: tokens.WithLabelValues("memory"), checked: tokens.WithLabelValues("signature"),
		memory: states.WithLabelValues("memory"), redis: states.WithLabelValues("redis"),
		users:    states.WithLabelValues("users-svc"),
		failures: states.WithLabelValues("failed"),
	}
}
