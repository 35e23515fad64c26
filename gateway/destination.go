package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/realmgate/realmgate/gateway/internal/upstream"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/internalapi"
)

// destination is the subject of this installation's events, which activity-svc tells: another
// installation on the same NATS server has another one. Until it is known, events wait in the
// journal.
type destination struct {
	ask     func(context.Context) (installation string, err error)
	log     *slog.Logger
	subject atomic.Pointer[string]
}

// How often activity-svc is asked: it may be updated, or put back to the previous release, while a
// gateway runs.
const (
	destinationEvery = 5 * time.Second
	destinationRetry = 250 * time.Millisecond
	destinationWait  = 2 * time.Second // for one answer
)

var errNoDestination = errors.New("activity-svc has not yet told where events go")

// run asks until ctx ends.
func (d *destination) run(ctx context.Context) error {
	for {
		pause := destinationEvery
		if err := d.learn(ctx); err != nil && d.subject.Load() == nil {
			pause = destinationRetry
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

func (d *destination) learn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, destinationWait)
	defer cancel()
	installation, err := d.ask(ctx)
	if err != nil {
		return err
	}
	subject := event.NamesOf(installation).Subject
	if old := d.subject.Swap(&subject); old == nil || *old != subject {
		d.log.Info("events go to", "subject", subject)
	}
	return nil
}

// get returns the subject.
func (d *destination) get() (string, error) {
	if s := d.subject.Load(); s != nil {
		return *s, nil
	}
	return "", errNoDestination
}

// askInstallation asks activity-svc for its id; "" is one of the previous release, which has none.
func (g *gateway) askInstallation(ctx context.Context) (string, error) {
	var i event.Installation
	err := g.upstreams[toActivity].Ask(ctx, "GET", internalapi.InstallationPath, nil, &i)
	switch {
	case errors.Is(err, upstream.ErrNotFound):
		return "", nil
	case err == nil && !id.Valid(i.ID):
		return "", fmt.Errorf("activity-svc tells %q as the id of the installation", i.ID)
	}
	return i.ID, err
}
