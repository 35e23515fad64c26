package activity

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/service"
)

// monitorTimeout is how long the stream may take to answer.
const (
	monitorPause   = 5 * time.Second
	monitorTimeout = 2 * time.Second
)

// streamMonitor measures whether the stream takes events and how far behind the consumer is.
type streamMonitor struct {
	bus     *bus.Conn
	names   event.Names
	log     *slog.Logger
	metrics *metrics
	failure atomic.Pointer[error] // of the last probe; nil when it was stored
}

// mount adds the monitor to svc.
func (m *streamMonitor) mount(svc *service.Service) {
	svc.Note("stream", m.health)
	svc.Go("monitor", m.run)
}

// run updates the gauges of the stream until ctx ends.
func (m *streamMonitor) run(ctx context.Context) error {
	for {
		m.observe(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(monitorPause):
		}
	}
}

// health returns why the stream did not store the last probe.
func (m *streamMonitor) health(context.Context) error {
	if err := m.failure.Load(); err != nil {
		return *err
	}
	return nil
}

func (m *streamMonitor) observe(ctx context.Context) {
	m.probe(ctx)
	ctx, cancel := context.WithTimeout(ctx, monitorTimeout)
	defer cancel()
	s, err := m.bus.State(ctx, m.names.Stream, m.names.Consumer)
	if err != nil {
		return
	}
	m.metrics.pending.Set(float64(s.Pending))
	m.metrics.ackPending.Set(float64(s.AckPending))
	m.metrics.streamBytes.Set(float64(s.Bytes))
}

// probe puts a message into the stream, because a server that answers every question may yet store
// nothing: once a stream could not write to its disk it refuses all messages until nats-server is
// started again.
func (m *streamMonitor) probe(ctx context.Context) {
	probing, cancel := context.WithTimeout(ctx, monitorTimeout)
	defer cancel()
	err := m.bus.Store(probing, m.names.Subject, event.Probe())
	switch {
	case ctx.Err() != nil: // the service ends
	case err == nil:
		m.metrics.streamUp.Set(1)
		if m.failure.Swap(nil) != nil {
			m.log.Info("the stream takes events again", "stream", m.names.Stream)
		}
	default:
		m.metrics.streamUp.Set(0)
		if m.failure.Swap(&err) == nil {
			m.log.Warn("the stream takes no events: they wait in the gateways", "stream", m.names.Stream, "error", err.Error())
		}
	}
}
