package users

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/alexedwards/argon2id"
	"golang.org/x/crypto/argon2"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/service"
)

// hasher makes and checks password hashes (Argon2id, RFC 9106, in PHC form). A hash takes tens of milliseconds of a core and megabytes, so
// only as many run at once as there are slots; a bounded number waits, and what comes on top is refused.
type hasher struct {
	params  argon2id.Params
	slots   chan struct{}
	places  chan struct{} // of those that hold a slot or wait for one
	room    []byte        // hashRoom, never touched
	dummy   string        // a hash of nothing anybody knows: the work for accounts that do not exist
	metrics *hashMetrics
}

const (
	saltBytes = 16
	hashBytes = 32
	hugePage  = 2 << 20
	besides   = 64 << 20 // what a heap has grown to that holds no hashes, and more
	// hashRoom lets a service with two cores collect after every five hashes instead of three: a collection stops all of them until each has noticed.
	// With more cores a collection comes after more hashes anyway.
	hashRoom = 32 << 20
	// mostHugePages bounds what is asked for, because a system that overcommits nothing takes it for used.
	mostHugePages = 512 << 20
)

func newHasher(c PasswordConfig) *hasher {
	parallel := c.Parallel
	if parallel == 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	h := &hasher{
		params: argon2id.Params{Memory: c.MemoryKiB, Iterations: c.Time, Parallelism: c.Threads, SaltLength: saltBytes, KeyLength: hashBytes},
		slots:  make(chan struct{}, parallel), places: make(chan struct{}, parallel+c.Queue),
	}
	if memory := int(c.MemoryKiB) << 10; memory >= hugePage {
		h.room = service.Untouched(hashRoom)
		// The heap grows to twice of what is in use before it is collected, and meanwhile hashes go on.
		hugePages(min(3*parallel*memory+hashRoom+besides, mostHugePages))
	}
	h.dummy = h.unknown()
	h.metrics = newHashMetrics(h)
	return h
}

// unknown returns a hash that no password is known for, without the work of making one: its salt and its key are random.
func (h *hasher) unknown() string {
	random := func(n int) string {
		b := make([]byte, n)
		_, _ = rand.Read(b) // never fails: it crashes the program instead
		return base64.RawStdEncoding.EncodeToString(b)
	}
	return h.phc(random(saltBytes), random(hashBytes))
}

func (h *hasher) phc(salt, key string) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.params.Memory, h.params.Iterations, h.params.Parallelism, salt, key)
}

// queue runs f in a place of the queue for slots. 503 SERVICE_UNAVAILABLE when there is none.
func (h *hasher) queue(ctx context.Context, f func() error) error {
	select {
	case h.places <- struct{}{}:
		defer func() { <-h.places }()
		return f()
	default:
		return h.refuse(errors.New("too many password hashes wait"))
	}
}

// slot, for those who have a place, runs f in a slot: f may call create and verify, and should do nothing else, as others wait. 503
// SERVICE_UNAVAILABLE when the request's time is over before.
func (h *hasher) slot(ctx context.Context, f func() error) error {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return h.refuse(ctx.Err())
	}
	began := time.Now()
	defer func() { h.metrics.duration.Observe(time.Since(began).Seconds()) }()
	return f()
}

func (h *hasher) refuse(cause error) error {
	h.metrics.refused.Inc()
	return apperr.ServiceUnavailable(cause).WithRetryAfter(2 * time.Second)
}

// run is queue and slot, for those who have nothing to do in between.
func (h *hasher) run(ctx context.Context, f func() error) error {
	return h.queue(ctx, func() error { return h.slot(ctx, f) })
}

// hash returns the PHC string of password, waiting for a slot.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	var out string
	err := h.run(ctx, func() (err error) {
		out, err = h.create(password)
		return err
	})
	return out, err
}

// hashLike is hash with the salt of another hash, so that the two are equal when the passwords are; with a salt of its own when the other is of none
// of today's parameters, or "". The work is the same.
func (h *hasher) hashLike(ctx context.Context, password, other string) (string, error) {
	p, salt, _, err := argon2id.DecodeHash(other)
	if err != nil || *p != h.params {
		return h.hash(ctx, password)
	}
	var key []byte
	err = h.run(ctx, func() error {
		key = argon2.IDKey([]byte(password), salt, p.Iterations, p.Memory, p.Parallelism, p.KeyLength)
		return nil
	})
	return h.phc(base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key)), err
}

// create is hash for those who hold a slot.
func (h *hasher) create(password string) (string, error) {
	return argon2id.CreateHash(password, &h.params)
}

// verify, for those who hold a slot, reports whether password is the one that hash was made of. stale means that the hash is weaker than today's
// settings, or of another kind, and should be made again while the password is at hand. An empty hash stands for an account that does not exist: the
// same work, never a match.
func (h *hasher) verify(password, hash string) (ok, stale bool, err error) {
	if hash == "" {
		_, err := argon2id.ComparePasswordAndHash(password, h.dummy)
		return false, false, err
	}
	ok, err = verifyAny(password, hash)
	return ok, ok && h.stale(hash), err
}

func (h *hasher) stale(hash string) bool {
	p, salt, key, err := argon2id.DecodeHash(hash)
	if err != nil {
		return true // of another kind
	}
	return p.Memory < h.params.Memory || p.Iterations < h.params.Iterations || p.Parallelism < h.params.Parallelism ||
		len(salt) < saltBytes || len(key) < hashBytes
}
