package session

import (
	"context"
	"sync"
	"time"

	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/users-svc/internal/core"
)

// lastSeen collects which sessions the gateways ask about and writes it down from time to time, so
// that no request waits for it.
type lastSeen struct {
	*core.Core
	mu   sync.Mutex
	seen map[string]time.Time // by session
}

const (
	FlushEvery  = 10 * time.Second
	maxLastSeen = 50_000 // sessions between two writes; more are not noted
)

func newLastSeen(c *core.Core) *lastSeen { return &lastSeen{Core: c, seen: map[string]time.Time{}} }

// record remembers that a session is in use.
func (l *lastSeen) record(state sessionstate.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if state.Alive && len(l.seen) < maxLastSeen {
		l.seen[state.SessionID] = l.Now()
	}
}

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
