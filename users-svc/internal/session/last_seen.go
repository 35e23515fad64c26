package session

import (
	"context"
	"sync"
	"time"

	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/users-svc/internal/core"
)

const (
	// FlushEvery is the interval between two calls of FlushLastSeen.
	FlushEvery  = 10 * time.Second
	maxLastSeen = 50_000 // sessions in one batch; further ones are not recorded
)

// lastSeen collects in memory when sessions were last used. flush stores the batch, so that no
// request waits for the write.
type lastSeen struct {
	*core.Core
	mu   sync.Mutex
	seen map[string]time.Time // by session id
}

func newLastSeen(c *core.Core) *lastSeen { return &lastSeen{Core: c, seen: map[string]time.Time{}} }

// record marks a live session as used now.
func (l *lastSeen) record(state sessionstate.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if state.Alive && len(l.seen) < maxLastSeen {
		l.seen[state.SessionID] = l.Now()
	}
}

// flush stores the collected times and empties the batch. A batch whose write fails is lost.
func (l *lastSeen) flush(ctx context.Context) error {
	l.mu.Lock()
	batch := l.seen
	l.seen = map[string]time.Time{}
	l.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	ids, times := make([]string, 0, len(batch)), make([]time.Time, 0, len(batch))
	for sessionID, t := range batch {
		ids, times = append(ids, sessionID), append(times, t)
	}
	return writeLastSeen(ctx, l.Pool, ids, times)
}
