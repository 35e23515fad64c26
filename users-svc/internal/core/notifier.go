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
	requestTimeout = 200 * time.Millisecond // of the first attempt, for which the request waits
	retryInterval  = 250 * time.Millisecond
	// maxPendingAge is longer than any copy of a state lives in Redis or in a gateway. A change
	// that is older needs no announcement: all copies that it concerns have expired.
	maxPendingAge = time.Minute
	// maxPending bounds the users with a pending change. The copies of further users stay until
	// they expire.
	maxPending = 100_000
)

// Notifier tells the gateways that a user's session states are stale: it invalidates the copy in
// Redis and announces the change on NATS. The first attempt runs while the request waits, so that
// the change is in force when the answer leaves. If it fails, Run repeats it in the background
// until both Redis and NATS have the change.
type Notifier struct {
	cache *sessionstate.Cache
	bus   *bus.Conn
	log   *slog.Logger

	mu      sync.Mutex
	pending map[string]pendingChange // by user
}

// pendingChange is a change that has not reached Redis, NATS or both.
type pendingChange struct {
	change          sessionstate.Change
	since           time.Time
	redis, gateways bool // the receivers that still need the change; the gateways listen on NATS
}

// NewNotifier returns a notifier that invalidates states in cache and announces changes on b.
func NewNotifier(cache *sessionstate.Cache, b *bus.Conn, log *slog.Logger) *Notifier {
	return &Notifier{cache: cache, bus: b, log: log, pending: map[string]pendingChange{}}
}

// Notify reports that the user's states older than change.Version are stale. Call it after the
// commit of the transaction that raised the version. It returns no error: Run repeats a failed
// attempt.
func (n *Notifier) Notify(ctx context.Context, change sessionstate.Change) {
	sessionstate.Collect(ctx, change)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	remaining, err := n.send(ctx, pendingChange{change: change, since: time.Now(), redis: true, gateways: true})
	if err == nil {
		return
	}
	n.log.Warn("session change will be announced again", "user_id", change.UserID, "error", err.Error())
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

// send attempts the deliveries that are pending. It returns the change with those that failed, and
// their errors.
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

// Run repeats pending changes until ctx ends. It always returns nil.
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

// retry attempts every pending change once, and stops at the first failure.
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

// requeue replaces pending by remaining if retry is true, and else deletes it. It changes
// nothing when a newer change of the user has arrived meanwhile.
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
