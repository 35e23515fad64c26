package httpx

import "github.com/prometheus/client_golang/prometheus"

// streamMetrics count streamed answers. The kind is "events" or "export".
type streamMetrics struct {
	open  *prometheus.GaugeVec
	bytes *prometheus.CounterVec
	ends  *prometheus.CounterVec
}

func newStreamMetrics(reg prometheus.Registerer) *streamMetrics {
	m := &streamMetrics{
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "http_streams_open", Help: "Open streams, by kind (events or export).",
		}, []string{"kind"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_stream_bytes_total", Help: "Bytes of streamed answers, without the framing of chunks, by kind.",
		}, []string{"kind"}),
		ends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_streams_ended_total", Help: "Ended streams, by kind and reason.",
		}, []string{"kind", "reason"}),
	}
	for _, kind := range []string{kindEvents, kindExport} {
		m.open.WithLabelValues(kind)
		m.bytes.WithLabelValues(kind)
		for _, r := range []EndReason{EndRevoked, EndDraining, EndSlow, EndClient, EndUpstream, endComplete, endFailed} {
			m.ends.WithLabelValues(kind, string(r)) // a counter that appears with its first increment has no rate
		}
	}
	if reg != nil {
		reg.MustRegister(m.open, m.bytes, m.ends)
	}
	return m
}

const (
	kindEvents = "events"
	kindExport = "export"
)

func (st *stream) kind() string {
	if st.events {
		return kindEvents
	}
	return kindExport
}

func (m *streamMetrics) opened(st *stream) { m.open.WithLabelValues(st.kind()).Inc() }

func (m *streamMetrics) ended(st *stream, reason EndReason) {
	kind := st.kind()
	m.open.WithLabelValues(kind).Dec()
	m.ends.WithLabelValues(kind, string(reason)).Inc()
}
