package passwords

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/realmgate/realmgate/users-svc/internal/core"
)

// Kinds knows which kinds of password hashes the accounts have.
type Kinds struct {
	*core.Core
	current string // a hash with today's parameters

	mu     sync.Mutex
	work   Work
	readAt time.Time // when it was read
}

func NewKinds(c *core.Core, h *Hasher) *Kinds { return &Kinds{Core: c, current: h.unusable} }

// kindsTTL is how long the kinds are not read again. An import by another process is seen then.
const kindsTTL = time.Second

// MaxWork returns the work of a failed sign-in.
func (k *Kinds) MaxWork(ctx context.Context) (Work, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.work != nil && time.Since(k.readAt) < kindsTTL {
		return k.work, nil
	}
	kinds, err := listKinds(ctx, k.Pool)
	if err != nil {
		return nil, err
	}
	work := Work{}
	work.add(k.current, true)
	for _, kind := range kinds {
		work.add(exampleHash(kind), false)
	}
	k.work, k.readAt = work, time.Now()
	return work, nil
}

// exampleOf completes what the database tells of a kind, a hash up to its salt, to one that can be
// parsed.
func exampleHash(kind string) string {
	if strings.HasPrefix(kind, "$2") {
		return kind + "$" + strings.Repeat("a", bcryptLength-len(kind)-1)
	}
	return kind + "$c2FsdHNhbHQ$" + strings.Repeat("A", 22) // a salt of 8 bytes, a key of 16
}
