// Package passwords provides password hashes (Argon2id, RFC 9106, and the formats of imported
// accounts), the queue of hashes to compute, and the rules for new passwords. Start reading at Hasher
// and Policy.
package passwords

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
	"github.com/realmgate/realmgate/users-svc/internal/field"
)

// Hasher makes and checks password hashes (Argon2id, RFC 9106, in PHC form). A hash takes tens of
// milliseconds of a core and megabytes, so only as many run at once as there are slots; a bounded
// number waits, and what comes on top is refused.
type Hasher struct {
	params   argon2id.Params
	queue    *queue
	unusable string // a hash of nothing anybody knows: the work for accounts that do not exist
	metrics  *metrics
}

const (
	saltBytes = 16
	hashBytes = 32
)

func NewHasher(cfg Config) *Hasher {
	parallel := cfg.Parallel
	if parallel == 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	hasher := &Hasher{
		params: argon2id.Params{Memory: cfg.MemoryKiB, Iterations: cfg.Time, Parallelism: cfg.Threads, SaltLength: saltBytes,
			KeyLength: hashBytes},
		queue: newQueue(parallel, cfg.Queue),
	}
	hasher.unusable = hasher.Unusable()
	hasher.metrics = newMetrics(hasher)
	return hasher
}

// Parallel returns how many hashes are computed at the same time.
func (h *Hasher) Parallel() int { return h.queue.slots }

// Unusable returns a hash that no password is known for, without the work of making one: its salt
// and its key are random.
func (h *Hasher) Unusable() string {
	random := func(n int) string {
		b := make([]byte, n)
		_, _ = rand.Read(b) // never fails: it crashes the program instead
		return base64.RawStdEncoding.EncodeToString(b)
	}
	return h.encode(random(saltBytes), random(hashBytes))
}

func (h *Hasher) encode(salt, key string) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.params.Memory, h.params.Iterations,
		h.params.Parallelism, salt, key)
}

// Enqueue runs f with a place of holder in the queue for slots. 503 SERVICE_UNAVAILABLE when there
// is none.
func (h *Hasher) Enqueue(ctx context.Context, client string, run func(*Ticket) error) error {
	ticket, err := h.queue.enter(ctx, client)
	if err != nil {
		return h.Overloaded(err)
	}
	defer h.queue.leave(ticket)
	return run(ticket)
}

// Run runs f in a slot: f may call create and check, and should do nothing else, as others wait.
// 503 SERVICE_UNAVAILABLE when the request's time is over before, or its place is lost.
func (h *Hasher) Run(ticket *Ticket, f func() error) error {
	if err := h.queue.acquire(ticket); err != nil {
		return h.Overloaded(err)
	}
	defer h.queue.release()
	started := time.Now()
	defer func() { h.metrics.duration.Observe(time.Since(started).Seconds()) }()
	return f()
}

func (h *Hasher) Overloaded(cause error) error {
	h.metrics.refused.Inc()
	return apperr.ServiceUnavailable(cause).WithRetryAfter(2 * time.Second)
}

// Do is queue and slot, for those who have nothing to do in between.
func (h *Hasher) Do(ctx context.Context, client string, f func() error) error {
	return h.Enqueue(ctx, client, func(ticket *Ticket) error { return h.Run(ticket, f) })
}

// Hash returns the PHC string of password, waiting for a slot. address is of the client that asks.
func (h *Hasher) Hash(ctx context.Context, address, password string) (string, error) {
	var hash string
	err := h.Do(ctx, QueueClient(address), func() (err error) {
		hash, err = h.HashNow(password)
		return err
	})
	return hash, err
}

// HashWithSaltOf is hash with the salt of another hash, so that the two are equal when the
// passwords are; with a salt of its own when the other is of none of today's parameters, or "". The
// work is the same.
func (h *Hasher) HashWithSaltOf(ctx context.Context, address, password, other string) (string, error) {
	p, salt, _, err := argon2id.DecodeHash(other)
	if err != nil || *p != h.params {
		return h.Hash(ctx, address, password)
	}
	var key []byte
	err = h.Do(ctx, QueueClient(address), func() error {
		h.metrics.count(family{name: familyArgon2}, h.work())
		key = argon2.IDKey([]byte(field.NFC(password)), salt, p.Iterations, p.Memory, p.Parallelism, p.KeyLength)
		return nil
	})
	return h.encode(base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key)), err
}

// HashNow is hash for those who hold a slot.
func (h *Hasher) HashNow(password string) (string, error) {
	h.metrics.count(family{name: familyArgon2}, h.work())
	return argon2id.CreateHash(field.NFC(password), &h.params)
}

// work is what a hash with today's parameters costs.
func (h *Hasher) work() uint64 { return uint64(h.params.Memory) * uint64(h.params.Iterations) }

// Check, for those who hold a slot, reports whether password is the one that stored was made of.
// renew means that the hash is weaker than today's settings, of another kind, or of a password that
// was not in form C, and should be made again while the password is at hand. A hash of which
// another password could be the real one is left as it is. "" stands for an account that does not
// exist, and what cannot be parsed is treated alike: never a match. A password that does not match
// costs the work of equal, whatever was stored.
func (h *Hasher) Check(password, stored string, required Work) (ok, renew bool) {
	parsed, err := parseHash(stored)
	if err != nil {
		if parsed, err = parseHash(h.unusable); err != nil {
			return false, false // never: it is of our own making
		}
	}
	for _, spelling := range spellings(password) {
		h.metrics.count(parsed.family, parsed.work)
		if parsed.matches(spelling) {
			renew := h.outdated(stored) || spelling != field.NFC(password)
			return true, renew && (parsed.ambiguous == nil || !parsed.ambiguous(spelling))
		}
		for f, load := range required {
			if f == parsed.family {
				load.work -= min(load.work, parsed.work)
			}
			h.metrics.count(f, load.work)
			f.dummyHash(spelling, load)
		}
	}
	return false, false
}

// Verify is check where a wrong password need not cost the same for every kind of hash, because who
// asks knows that the account exists.
func (h *Hasher) Verify(password, stored string) bool {
	ok, _ := h.Check(password, stored, nil)
	return ok
}

func (h *Hasher) outdated(hash string) bool {
	p, salt, key, err := argon2id.DecodeHash(hash)
	if err != nil {
		return true // of another kind
	}
	return p.Memory < h.params.Memory || p.Iterations < h.params.Iterations || p.Parallelism < h.params.Parallelism ||
		len(salt) < saltBytes || len(key) < hashBytes
}
