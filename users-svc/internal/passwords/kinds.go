package passwords

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/realmgate/realmgate/users-svc/internal/core"
)

// Kinds caches the kinds of password hashes that accounts have: their families and parameters.
type Kinds struct {
	*core.Core
	current string // a hash with the parameters of the settings

	mu     sync.Mutex
	work   Work
	readAt time.Time
}

// NewKinds returns an empty cache.
func NewKinds(c *core.Core, h *Hasher) *Kinds { return &Kinds{Core: c, current: h.unusable} }

// kindsTTL is the age at which the kinds are read again, to learn of imports by other processes.
const kindsTTL = time.Second

// MaxWork returns the work that a failed sign-in must cost: for each family, the most that the hash
// of any account costs.
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

// exampleHash completes a kind, which is a hash up to its salt, to a hash that can be parsed.
func exampleHash(kind string) string {
	if strings.HasPrefix(kind, "$2") {
		return kind + "$" + strings.Repeat("a", bcryptLength-len(kind)-1)
	}
	return kind + "$c2FsdHNhbHQ$" + strings.Repeat("A", 22) // a salt of 8 bytes, a key of 16
}
