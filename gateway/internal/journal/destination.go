package journal

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/realmgate/realmgate/pkg/event"
)

// Destination is the subject of this installation's events. activity-svc knows it: another
// installation on the same NATS server has another one. Until it is known, events wait in the
// journal.
type Destination struct {
	fetch   func(context.Context) (installation string, err error)
	log     *slog.Logger
	subject atomic.Pointer[string]
}

// NewDestination returns a destination that is not yet known. fetch asks activity-svc for the id of
// the installation.
func NewDestination(fetch func(context.Context) (installation string, err error), log *slog.Logger) *Destination {
	return &Destination{fetch: fetch, log: log}
}

// activity-svc is asked again and again, because it may be updated, or put back to the previous
// release, while a gateway runs.
const (
	destinationEvery   = 5 * time.Second
	destinationRetry   = 250 * time.Millisecond // until it is known
	destinationTimeout = 2 * time.Second
)

// errNoDestination delays the shipping of events.
var errNoDestination = errors.New("activity-svc has not yet told where events go")

// Run asks until ctx ends.
func (d *Destination) Run(ctx context.Context) error {
	for {
		pause := destinationEvery
		if err := d.Update(ctx); err != nil && d.subject.Load() == nil {
			pause = destinationRetry
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// Update asks once.
func (d *Destination) Update(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, destinationTimeout)
	defer cancel()
	installation, err := d.fetch(ctx)
	if err != nil {
		return err
	}
	subject := event.NamesOf(installation).Subject
	if old := d.subject.Swap(&subject); old == nil || *old != subject {
		d.log.Info("events go to", "subject", subject)
	}
	return nil
}

// Subject returns the subject.
func (d *Destination) Subject() (string, error) {
	if s := d.subject.Load(); s != nil {
		return *s, nil
	}
	return "", errNoDestination
}
