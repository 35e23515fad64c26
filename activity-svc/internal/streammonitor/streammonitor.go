// Package streammonitor provides the health of the stream of events: whether it stores what is
// published, and how far behind its consumer is. Start reading at New; Mount adds it to a service.
package streammonitor

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/service"
)

const (
	pause = 5 * time.Second // between two observations
	// Timeout is how long the stream may take to answer.
	Timeout = 2 * time.Second
)

// Monitor measures whether a stream stores events and how far behind its consumer is.
type Monitor struct {
	bus     *bus.Conn
	names   event.Names
	log     *slog.Logger
	failure atomic.Pointer[error] // of the last probe; nil when it was stored

	pending     prometheus.Gauge
	ackPending  prometheus.Gauge
	streamBytes prometheus.Gauge
	streamUp    prometheus.Gauge
}

// New makes the monitor of the stream with these names.
func New(conn *bus.Conn, names event.Names, log *slog.Logger, reg prometheus.Registerer) *Monitor {
	m := &Monitor{
		bus: conn, names: names, log: log,
		pending: prometheus.NewGauge(prometheus.GaugeOpts{Name: "activity_consumer_pending",
			Help: "Messages in the stream, of up to 100 events each, that no replica has yet."}),
		ackPending: prometheus.NewGauge(prometheus.GaugeOpts{Name: "activity_consumer_ack_pending",
			Help: "Messages, of up to 100 events each, that a replica has and has not yet acknowledged."}),
		streamBytes: prometheus.NewGauge(prometheus.GaugeOpts{Name: "activity_stream_bytes",
			Help: "Size of the stream; compare ACTIVITY_STREAM_MAX_BYTES."}),
		streamUp: prometheus.NewGauge(prometheus.GaugeOpts{Name: "activity_stream_up",
			Help: "1 while the stream stores what is published; reads are served without it."}),
	}
	reg.MustRegister(m.pending, m.ackPending, m.streamBytes, m.streamUp)
	return m
}

// Mount adds the monitor to svc.
func (m *Monitor) Mount(svc *service.Service) {
	svc.Note("stream", m.Health)
	svc.Go("monitor", m.run)
}

// run updates the gauges of the stream until ctx ends.
func (m *Monitor) run(ctx context.Context) error {
	for {
		m.Observe(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// Health returns why the stream did not store the last probe.
func (m *Monitor) Health(context.Context) error {
	if err := m.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Observe updates the gauges once.
func (m *Monitor) Observe(ctx context.Context) {
	m.probe(ctx)
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	s, err := m.bus.State(ctx, m.names.Stream, m.names.Consumer)
	if err != nil {
		return
	}
	m.pending.Set(float64(s.Pending))
	m.ackPending.Set(float64(s.AckPending))
	m.streamBytes.Set(float64(s.Bytes))
}

// probe puts a message into the stream, because a server that answers every question may yet store
// nothing: once a stream could not write to its disk it refuses all messages until nats-server is
// started again.
func (m *Monitor) probe(ctx context.Context) {
	probing, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	err := m.bus.Store(probing, m.names.Subject, event.Probe())
	switch {
	case ctx.Err() != nil: // the service ends
	case err == nil:
		m.streamUp.Set(1)
		if m.failure.Swap(nil) != nil {
			m.log.Info("the stream takes events again", "stream", m.names.Stream)
		}
	default:
		m.streamUp.Set(0)
		if m.failure.Swap(&err) == nil {
			m.log.Warn("the stream takes no events: they wait in the gateways", "stream", m.names.Stream, "error", err.Error())
		}
	}
}
