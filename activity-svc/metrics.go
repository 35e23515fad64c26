package activity

import "github.com/prometheus/client_golang/prometheus"

// metrics describe how events are stored. The sum of activity_events_total over its outcomes is how
// many were taken from the stream.
type metrics struct {
	events              *prometheus.CounterVec
	batchSize           prometheus.Histogram
	batchDuration       prometheus.Histogram
	lag                 prometheus.Histogram
	daysDropped         prometheus.Counter
	maintenanceFailures prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "activity_events_total",
			Help: "Events from the stream by outcome: stored, duplicate, dead (a dead letter) or expired (above the retention).",
		}, []string{"outcome"}),
		batchSize: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "activity_batch_size", Help: "Events of a batch.",
			Buckets: []float64{1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000},
		}),
		batchDuration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "activity_batch_duration_seconds", Help: "Time to store a batch.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "activity_event_lag_seconds",
			Help:    "Age of the oldest event of a batch when it was stored: from the answer to the log.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60, 600, 3600, 86400},
		}),
		daysDropped: prometheus.NewCounter(prometheus.CounterOpts{Name: "activity_days_dropped_total",
			Help: "Days that retention dropped."}),
		maintenanceFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "activity_maintenance_failures_total",
			Help: "Attempts at making, counting or dropping days that failed and were tried again.",
		}),
	}
	for _, o := range []outcome{stored, duplicate, dead, expired} {
		m.events.WithLabelValues(string(o)) // a counter that is absent looks like one that is broken
	}
	if reg != nil {
		reg.MustRegister(m.events, m.batchSize, m.batchDuration, m.lag, m.daysDropped, m.maintenanceFailures)
	}
	return m
}
