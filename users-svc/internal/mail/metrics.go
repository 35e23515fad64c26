package mail

import (
	"github.com/prometheus/client_golang/prometheus"
)

// The values of the label outcome of mails_total.
const (
	outcomeSent    = "sent"
	outcomeDelayed = "delayed"  // it is tried again later
	outcomeRefused = "refused"  // for good, by the mail server
	outcomeGivenUp = "given_up" // after maxAttempts tries
)

// newMetrics counts the tries to send mails by their outcome.
func newMetrics(reg prometheus.Registerer) *prometheus.CounterVec {
	total := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mails_total",
		Help: "Tries to send a mail: sent, delayed (tried again), refused for good by the mail server, or given up.",
	}, []string{"outcome"})
	for _, outcome := range []string{outcomeSent, outcomeDelayed, outcomeRefused, outcomeGivenUp} {
		total.WithLabelValues(outcome) // so that each is there from the start
	}
	reg.MustRegister(total)
	return total
}
