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

// How often a watcher looks, and how long the stream may take to answer.
const (
	watchPause   = 5 * time.Second
	watchTimeout = 2 * time.Second
)

// watcher finds out whether the stream takes events and how far behind the consumer is.
type watcher struct {
	bus     *bus.Conn
	names   event.Names
	log     *slog.Logger
	metrics *metrics
	failure atomic.Pointer[error] // of the last look; nil when there was none
}

// mount makes the watcher part of svc.
func (w *watcher) mount(svc *service.Service) {
	svc.Note("stream", w.health)
	svc.Go("watch", w.run)
}

// run keeps the gauges of the stream until ctx ends.
func (w *watcher) run(ctx context.Context) error {
	for {
		w.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchPause):
		}
	}
}

// health is why the stream took no event at the last look.
func (w *watcher) health(context.Context) error {
	if err := w.failure.Load(); err != nil {
		return *err
	}
	return nil
}

func (w *watcher) look(ctx context.Context) {
	w.probe(ctx)
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	s, err := w.bus.State(ctx, w.names.Stream, w.names.Consumer)
	if err != nil {
		return
	}
	w.metrics.pending.Set(float64(s.Pending))
	w.metrics.ackPending.Set(float64(s.AckPending))
	w.metrics.streamBytes.Set(float64(s.Bytes))
}

// probe puts a message into the stream, because a server that answers every question may yet store
// nothing: once a stream could not write to its disk it refuses all messages until nats-server is
// started again.
func (w *watcher) probe(ctx context.Context) {
	probing, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	err := w.bus.Store(probing, w.names.Subject, event.Probe())
	switch {
	case ctx.Err() != nil: // the service ends
	case err == nil:
		w.metrics.streamUp.Set(1)
		if w.failure.Swap(nil) != nil {
			w.log.Info("the stream takes events again", "stream", w.names.Stream)
		}
	default:
		w.metrics.streamUp.Set(0)
		if w.failure.Swap(&err) == nil {
			w.log.Warn("the stream takes no events: they wait in the gateways", "stream", w.names.Stream, "error", err.Error())
		}
	}
}
