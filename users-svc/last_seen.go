package users

import (
	"context"
	"sync"
	"time"

	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// lastSeen collects which sessions the gateways ask about and writes it down from time to time, so
// that no request waits for it.
type lastSeen struct {
	*core
	mu   sync.Mutex
	seen map[string]time.Time // by session
}

const (
	seenEvery = 10 * time.Second
	seenMax   = 50_000 // sessions between two writes; more are not noted
)

func newLastSeen(c *core) *lastSeen { return &lastSeen{core: c, seen: map[string]time.Time{}} }

// note remembers that a session is in use.
func (l *lastSeen) note(st sessionstate.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if st.Alive && len(l.seen) < seenMax {
		l.seen[st.SessionID] = l.now()
	}
}

func (l *lastSeen) write(ctx context.Context) error {
	l.mu.Lock()
	batch := l.seen
	l.seen = map[string]time.Time{}
	l.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	ids, at := make([]string, 0, len(batch)), make([]time.Time, 0, len(batch))
	for sessionID, t := range batch {
		ids, at = append(ids, sessionID), append(at, t)
	}
	return touch(ctx, l.pool, ids, at)
}
