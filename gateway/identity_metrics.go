package gateway

import "github.com/prometheus/client_golang/prometheus"

// identityMetrics counts where the gateway finds what it must know about a caller.
type identityMetrics struct {
	remembered, checked            prometheus.Counter // JWTs
	memory, redis, users, failures prometheus.Counter // session states
}

func newIdentityMetrics(reg prometheus.Registerer) *identityMetrics {
	tokens := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "jwt_checks_total", Help: "JWTs that were looked at: remembered from an earlier request, or checked by their signature, good or not.",
	}, []string{"by"})
	states := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "session_state_lookups_total",
		Help: "Session states that requests needed, by where they came from; failed: nobody could tell, and the answer was 503.",
	}, []string{"from"})
	reg.MustRegister(tokens, states)
	return &identityMetrics{
		remembered: tokens.WithLabelValues("memory"), checked: tokens.WithLabelValues("signature"),
		memory: states.WithLabelValues("memory"), redis: states.WithLabelValues("redis"),
		users:    states.WithLabelValues("users-svc"),
		failures: states.WithLabelValues("failed"),
	}
}
