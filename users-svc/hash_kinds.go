package users

import (
	"context"
	"strings"
	"sync"
	"time"
)

// hashKinds knows which kinds of password hashes the accounts have.
type hashKinds struct {
	*core
	own string // a hash with today's parameters

	mu   sync.Mutex
	work hashWork
	at   time.Time // when it was read
}

func newHashKinds(c *core, h *hasher) *hashKinds { return &hashKinds{core: c, own: h.dummy} }

// kindsFor is how long the kinds are not read again. An import by another process is seen then.
const kindsFor = time.Second

// most returns the work of a failed sign-in.
func (k *hashKinds) most(ctx context.Context) (hashWork, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.work != nil && time.Since(k.at) < kindsFor {
		return k.work, nil
	}
	kinds, err := listHashKinds(ctx, k.pool)
	if err != nil {
		return nil, err
	}
	work := hashWork{}
	work.add(k.own, true)
	for _, kind := range kinds {
		work.add(exampleOf(kind), false)
	}
	k.work, k.at = work, time.Now()
	return work, nil
}

// exampleOf completes what the database tells of a kind, a hash up to its salt, to one that can be
// parsed.
func exampleOf(kind string) string {
	if strings.HasPrefix(kind, "$2") {
		return kind + "$" + strings.Repeat("a", bcryptLength-len(kind)-1)
	}
	return kind + "$c2FsdHNhbHQ$" + strings.Repeat("A", 22) // a salt of 8 bytes, a key of 16
}
