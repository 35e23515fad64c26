package core

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

const (
	requestTimeout = 200 * time.Millisecond // of the attempt that a request waits for
	retryInterval  = 250 * time.Millisecond
	// maxPendingAge is longer than any copy of a state lives in Redis or in a gateway: what was not
	// said by then need not be said.
	maxPendingAge = time.Minute
	maxPending    = 100_000 // users with an unsaid change; more are left to the copies' own end
)

// Notifier tells the gateways that a user's session states are stale: it empties the copy in Redis
// and announces the change on NATS. A change is said once while the request waits, so that it is in
// force when the answer leaves, and again in the background until both have it.
type Notifier struct {
	cache *sessionstate.Cache
	bus   *bus.Conn
	log   *slog.Logger

	mu      sync.Mutex
	pending map[string]pendingChange // by user
}

// pendingChange is a change that Redis or NATS has not heard of.
type pendingChange struct {
	change          sessionstate.Change
	since           time.Time
	redis, gateways bool // who is still to be told
}

func NewNotifier(cache *sessionstate.Cache, b *bus.Conn, log *slog.Logger) *Notifier {
	return &Notifier{cache: cache, bus: b, log: log, pending: map[string]pendingChange{}}
}

// Notify says that states of the user older than ch.Version are stale. Call it after the commit of
// the transaction that raised the version. It never fails: what could not be said now is said by
// run.
func (n *Notifier) Notify(ctx context.Context, change sessionstate.Change) {
	sessionstate.Collect(ctx, change)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	remaining, err := n.send(ctx, pendingChange{change: change, since: time.Now(), redis: true, gateways: true})
	if err == nil {
		return
	}
	n.log.Warn("session change will be said again", "user_id", change.UserID, "error", err.Error())
	n.mu.Lock()
	defer n.mu.Unlock()
	if old, ok := n.pending[change.UserID]; ok {
		remaining.redis, remaining.gateways = remaining.redis || old.redis, remaining.gateways || old.gateways
		remaining.change.Version = max(remaining.change.Version, old.change.Version)
	}
	if len(n.pending) < maxPending {
		n.pending[change.UserID] = remaining
	}
}

// send tries both ways and returns what is left to do, with the reason.
func (n *Notifier) send(ctx context.Context, pending pendingChange) (pendingChange, error) {
	var redisErr, busErr error
	if pending.redis {
		redisErr = n.cache.Invalidate(ctx, pending.change)
		pending.redis = redisErr != nil
	}
	if pending.gateways {
		busErr = n.cache.Announce(pending.change, n.bus.Announce)
		pending.gateways = busErr != nil
	}
	return pending, errors.Join(redisErr, busErr)
}

// Run repeats what is unsaid until ctx ends.
func (n *Notifier) Run(ctx context.Context) error {
	tick := time.NewTicker(retryInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			n.retry(ctx)
		}
	}
}

func (n *Notifier) retry(ctx context.Context) {
	n.mu.Lock()
	batch := make([]pendingChange, 0, len(n.pending))
	for _, pending := range n.pending {
		batch = append(batch, pending)
	}
	n.mu.Unlock()
	for _, pending := range batch {
		remaining, err := n.send(ctx, pending)
		n.requeue(pending, remaining, err != nil && time.Since(pending.since) < maxPendingAge)
		if err != nil {
			return // the others would fail the same way; the next tick tries again
		}
	}
}

// requeue puts back what is left of u, unless a newer change of the user came meanwhile.
func (n *Notifier) requeue(pending, remaining pendingChange, retry bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.pending[pending.change.UserID].change.Version > pending.change.Version {
		return
	}
	if retry {
		n.pending[pending.change.UserID] = remaining
		return
	}
	delete(n.pending, pending.change.UserID)
}
