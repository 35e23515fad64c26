package users

import "github.com/prometheus/client_golang/prometheus"

// What can come of a try to send a mail, the label outcome of mails_total.
const (
	mailSent    = "sent"
	mailDelayed = "delayed"  // it is tried again later
	mailRefused = "refused"  // for good, by the mail server
	mailGivenUp = "given_up" // after mailAttempts tries
)

// newMailMetrics counts the tries to send mails by their outcome.
func newMailMetrics(reg prometheus.Registerer) *prometheus.CounterVec {
	mails := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mails_total",
		Help: "Tries to send a mail: sent, delayed (tried again), refused for good by the mail server, or given up.",
	}, []string{"outcome"})
	for _, outcome := range []string{mailSent, mailDelayed, mailRefused, mailGivenUp} {
		mails.WithLabelValues(outcome) // so that each is there from the start
	}
	reg.MustRegister(mails)
	return mails
}
