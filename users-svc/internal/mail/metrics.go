package mail

import (
	"github.com/prometheus/client_golang/prometheus"
)

// The values of the label outcome of mails_total.
const (
	outcomeSent    = "sent"
	outcomeDelayed = "delayed"  // will be tried again
	outcomeRefused = "refused"  // by the mail server, for good
	outcomeGivenUp = "given_up" // after maxAttempts attempts
)

// newMetrics registers mails_total, which counts the attempts to send mails by their outcome.
func newMetrics(reg prometheus.Registerer) *prometheus.CounterVec {
	total := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mails_total",
		Help: "Tries to send a mail: sent, delayed (tried again), refused for good by the mail server, or given up.",
	}, []string{"outcome"})
	for _, outcome := range []string{outcomeSent, outcomeDelayed, outcomeRefused, outcomeGivenUp} {
		total.WithLabelValues(outcome) // so that each series exists from the start
	}
	reg.MustRegister(total)
	return total
}
