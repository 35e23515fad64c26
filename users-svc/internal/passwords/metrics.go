package passwords

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics holds the metrics of the queue and of the hashes, which limit the throughput of sign-ins.
type metrics struct {
	refused          prometheus.Counter
	duration         prometheus.Histogram
	work             *prometheus.CounterVec
	running, waiting prometheus.GaugeFunc
}

func newMetrics(h *Hasher) *metrics {
	return &metrics{
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "password_hashes_refused_total",
			Help: "Requests answered 503 because too many password hashes waited, or for too long.",
		}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "password_hash_duration_seconds",
			Help:    "Time of the password hashes of a request, without the wait for a slot.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}),
		work: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "password_hash_work_total",
			Help: "Work of password hashes: argon2id in KiB times passes, bcrypt and pbkdf2 in rounds.",
		}, []string{"kind"}),
		running: prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "password_hashes_running",
			Help: "Requests that hash a password now."},
			func() float64 { running, _ := h.queue.state(); return float64(running) }),
		waiting: prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "password_hashes_waiting",
			Help: "Requests that wait for a slot to hash a password."},
			func() float64 { _, waiting := h.queue.state(); return float64(waiting) }),
	}
}

// Register registers the metrics of the hasher.
func (h *Hasher) Register(reg prometheus.Registerer) { h.metrics.register(reg) }

func (m *metrics) register(reg prometheus.Registerer) {
	reg.MustRegister(m.refused, m.duration, m.work, m.running, m.waiting)
}

func (m *metrics) count(f family, work uint64) {
	m.work.WithLabelValues(f.String()).Add(float64(work))
}
