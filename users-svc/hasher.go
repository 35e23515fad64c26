package users

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"runtime"
	"time"

	"github.com/alexedwards/argon2id"
	"golang.org/x/crypto/argon2"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/service"
)

// hasher makes and checks password hashes (Argon2id, RFC 9106, in PHC form). A hash takes tens of
// milliseconds of a core and megabytes, so only as many run at once as there are slots; a bounded
// number waits, and what comes on top is refused.
type hasher struct {
	params  argon2id.Params
	line    *hashQueue
	room    []byte // hashRoom, never touched
	dummy   string // a hash of nothing anybody knows: the work for accounts that do not exist
	metrics *hashMetrics
}

const (
	saltBytes = 16
	hashBytes = 32
	hugePage  = 2 << 20
	besides   = 64 << 20 // what a heap has grown to that holds no hashes, and more
	// hashRoom lets a service with two cores collect after every five hashes instead of three: a
	// collection stops all of them until each has noticed. With more cores a collection comes after
	// more hashes anyway.
	hashRoom = 32 << 20
	// mostHugePages bounds what is asked for, because a system that overcommits nothing takes it
	// for used.
	mostHugePages = 512 << 20
)

func newHasher(c passwordConfig) *hasher {
	parallel := c.Parallel
	if parallel == 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	h := &hasher{
		params: argon2id.Params{Memory: c.MemoryKiB, Iterations: c.Time, Parallelism: c.Threads, SaltLength: saltBytes,
			KeyLength: hashBytes},
		line: newHashQueue(parallel, c.Queue),
	}
	if memory := int(c.MemoryKiB) << 10; memory >= hugePage {
		h.room = service.Untouched(hashRoom)
		// The heap grows to twice of what is in use before it is collected, and meanwhile hashes go
		// on.
		hugePages(min(3*parallel*memory+hashRoom+besides, mostHugePages))
	}
	h.dummy = h.unknown()
	h.metrics = newHashMetrics(h)
	return h
}

// parallel returns how many hashes are computed at the same time.
func (h *hasher) parallel() int { return h.line.slots }

// unknown returns a hash that no password is known for, without the work of making one: its salt
// and its key are random.
func (h *hasher) unknown() string {
	random := func(n int) string {
		b := make([]byte, n)
		_, _ = rand.Read(b) // never fails: it crashes the program instead
		return base64.RawStdEncoding.EncodeToString(b)
	}
	return h.phc(random(saltBytes), random(hashBytes))
}

func (h *hasher) phc(salt, key string) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.params.Memory, h.params.Iterations,
		h.params.Parallelism, salt, key)
}

// queue runs f with a place of holder in the queue for slots. 503 SERVICE_UNAVAILABLE when there is
// none.
func (h *hasher) queue(ctx context.Context, holder string, f func(*hashPlace) error) error {
	place, err := h.line.enter(ctx, holder)
	if err != nil {
		return h.refuse(err)
	}
	defer h.line.leave(place)
	return f(place)
}

// slot runs f in a slot: f may call create and check, and should do nothing else, as others wait.
// 503 SERVICE_UNAVAILABLE when the request's time is over before, or its place is lost.
func (h *hasher) slot(place *hashPlace, f func() error) error {
	if err := h.line.take(place); err != nil {
		return h.refuse(err)
	}
	defer h.line.give()
	began := time.Now()
	defer func() { h.metrics.duration.Observe(time.Since(began).Seconds()) }()
	return f()
}

func (h *hasher) refuse(cause error) error {
	h.metrics.refused.Inc()
	return apperr.ServiceUnavailable(cause).WithRetryAfter(2 * time.Second)
}

// run is queue and slot, for those who have nothing to do in between.
func (h *hasher) run(ctx context.Context, holder string, f func() error) error {
	return h.queue(ctx, holder, func(place *hashPlace) error { return h.slot(place, f) })
}

// hash returns the PHC string of password, waiting for a slot. address is of the client that asks.
func (h *hasher) hash(ctx context.Context, address, password string) (string, error) {
	var out string
	err := h.run(ctx, queueHolder(address), func() (err error) {
		out, err = h.create(password)
		return err
	})
	return out, err
}

// hashLike is hash with the salt of another hash, so that the two are equal when the passwords are;
// with a salt of its own when the other is of none of today's parameters, or "". The work is the
// same.
func (h *hasher) hashLike(ctx context.Context, address, password, other string) (string, error) {
	p, salt, _, err := argon2id.DecodeHash(other)
	if err != nil || *p != h.params {
		return h.hash(ctx, address, password)
	}
	var key []byte
	err = h.run(ctx, queueHolder(address), func() error {
		h.metrics.count(family{name: familyArgon2}, h.work())
		key = argon2.IDKey([]byte(composed(password)), salt, p.Iterations, p.Memory, p.Parallelism, p.KeyLength)
		return nil
	})
	return h.phc(base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key)), err
}

// create is hash for those who hold a slot.
func (h *hasher) create(password string) (string, error) {
	h.metrics.count(family{name: familyArgon2}, h.work())
	return argon2id.CreateHash(composed(password), &h.params)
}

// work is what a hash with today's parameters costs.
func (h *hasher) work() uint64 { return uint64(h.params.Memory) * uint64(h.params.Iterations) }

// check, for those who hold a slot, reports whether password is the one that stored was made of.
// renew means that the hash is weaker than today's settings, of another kind, or of a password that
// was not in form C, and should be made again while the password is at hand. A hash of which
// another password could be the real one is left as it is. "" stands for an account that does not
// exist, and what cannot be parsed is treated alike: never a match. A password that does not match
// costs the work of equal, whatever was stored.
func (h *hasher) check(password, stored string, equal hashWork) (right, renew bool) {
	own, err := parseHash(stored)
	if err != nil {
		if own, err = parseHash(h.dummy); err != nil {
			return false, false // never: it is of our own making
		}
	}
	for _, spelling := range spellings(password) {
		h.metrics.count(own.family, own.work)
		if own.matches(spelling) {
			renew := h.stale(stored) || spelling != composed(password)
			return true, renew && (own.ambiguous == nil || !own.ambiguous(spelling))
		}
		for f, left := range equal {
			if f == own.family {
				left.work -= min(left.work, own.work)
			}
			h.metrics.count(f, left.work)
			f.spend(spelling, left)
		}
	}
	return false, false
}

// verify is check where a wrong password need not cost the same for every kind of hash, because who
// asks knows that the account exists.
func (h *hasher) verify(password, stored string) bool {
	right, _ := h.check(password, stored, nil)
	return right
}

func (h *hasher) stale(hash string) bool {
	p, salt, key, err := argon2id.DecodeHash(hash)
	if err != nil {
		return true // of another kind
	}
	return p.Memory < h.params.Memory || p.Iterations < h.params.Iterations || p.Parallelism < h.params.Parallelism ||
		len(salt) < saltBytes || len(key) < hashBytes
}
