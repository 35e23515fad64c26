// Package passwords provides password hashes (Argon2id, RFC 9106, and the formats of imported
// accounts), the queue for computing them, and the rules for new passwords. Start reading at Hasher
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

// Hasher computes and checks password hashes (Argon2id, RFC 9106, in PHC string format). A hash
// takes tens of milliseconds of a core and megabytes of memory, so a fixed number of slots bounds
// the hashes that run at once. A bounded number of requests waits for a slot, and further requests
// are refused.
type Hasher struct {
	params   argon2id.Params
	queue    *queue
	unusable string // a hash without a known password, checked for accounts that do not exist
	metrics  *metrics
}

const (
	saltBytes = 16
	hashBytes = 32
)

// NewHasher returns a hasher with the settings. Its metrics are collected after Register.
func NewHasher(cfg Config) *Hasher {
	parallel := cfg.Parallel
	if parallel == 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	hasher := &Hasher{
		params: argon2id.Params{Memory: cfg.MemoryKiB, Iterations: cfg.Time, Parallelism: cfg.Threads,
			SaltLength: saltBytes, KeyLength: hashBytes},
		queue: newQueue(parallel, cfg.Queue),
	}
	hasher.unusable = hasher.Unusable()
	hasher.metrics = newMetrics(hasher)
	return hasher
}

// Parallel returns the number of slots: the hashes that run at the same time.
func (h *Hasher) Parallel() int { return h.queue.slots }

// unusableSalt is the salt of hashes that no password has. A stored hash with it means that the
// account has no password, also for releases that do not know of such accounts: they find that each
// password is wrong, and a password that they set has another salt.
const unusableSalt = "has no password."

// Unusable returns a hash with a random key, for which no password is known, for an account without
// a password. It costs no hash work.
func (h *Hasher) Unusable() string {
	key := make([]byte, hashBytes)
	_, _ = rand.Read(key) // crypto/rand.Read never returns an error
	return h.encode(base64.RawStdEncoding.EncodeToString([]byte(unusableSalt)),
		base64.RawStdEncoding.EncodeToString(key))
}

// Usable reports whether a stored hash is that of a password, and not a result of Hasher.Unusable.
func Usable(stored string) bool {
	_, salt, _, err := argon2id.DecodeHash(stored)
	return err != nil || string(salt) != unusableSalt
}

// encode returns the PHC string of a salt and a key in base64.
func (h *Hasher) encode(salt, key string) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.params.Memory, h.params.Iterations,
		h.params.Parallelism, salt, key)
}

// Enqueue calls run with a ticket of the client (see QueueClient) in the queue for slots. It
// returns 503 SERVICE_UNAVAILABLE when the queue is full, and the error of run.
func (h *Hasher) Enqueue(ctx context.Context, client string, run func(*Ticket) error) error {
	ticket, err := h.queue.enter(ctx, client)
	if err != nil {
		return h.Overloaded(err)
	}
	defer h.queue.leave(ticket)
	return run(ticket)
}

// Run waits for a slot and calls f in it. f should only call HashNow, Check and Verify, because
// other requests wait for the slot. Run returns 503 SERVICE_UNAVAILABLE when the ticket's context
// ends before a slot is free or the ticket is evicted, and the error of f.
func (h *Hasher) Run(ticket *Ticket, f func() error) error {
	if err := h.queue.acquire(ticket); err != nil {
		return h.Overloaded(err)
	}
	defer h.queue.release()
	started := time.Now()
	defer func() { h.metrics.duration.Observe(time.Since(started).Seconds()) }()
	return f()
}

// Overloaded counts a refused request and returns 503 SERVICE_UNAVAILABLE with the cause.
func (h *Hasher) Overloaded(cause error) error {
	h.metrics.refused.Inc()
	return apperr.ServiceUnavailable(cause).WithRetryAfter(2 * time.Second)
}

// Do calls f in a slot: Enqueue and Run in one call.
func (h *Hasher) Do(ctx context.Context, client string, f func() error) error {
	return h.Enqueue(ctx, client, func(ticket *Ticket) error { return h.Run(ticket, f) })
}

// Hash returns the hash of password in PHC string format. It waits for a slot; address is the
// client's IP address. Errors are those of Do.
func (h *Hasher) Hash(ctx context.Context, address, password string) (string, error) {
	var hash string
	err := h.Do(ctx, QueueClient(address), func() (err error) {
		hash, err = h.HashNow(password)
		return err
	})
	return hash, err
}

// HashWithSaltOf returns the hash of password with the salt of another hash, so that both hashes
// are equal exactly when the passwords are. If the other hash is "" or has other parameters than
// the settings, the salt is new. Both cost the same work.
func (h *Hasher) HashWithSaltOf(ctx context.Context, address, password, other string) (string, error) {
	p, salt, _, err := argon2id.DecodeHash(other)
	if err != nil || *p != h.params || !Usable(other) {
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

// HashNow returns the hash of password like Hash, without waiting: call it in a slot.
func (h *Hasher) HashNow(password string) (string, error) {
	h.metrics.count(family{name: familyArgon2}, h.work())
	return argon2id.CreateHash(field.NFC(password), &h.params)
}

// work returns the work of a hash with the parameters of the settings, in KiB times passes.
func (h *Hasher) work() uint64 { return uint64(h.params.Memory) * uint64(h.params.Iterations) }

// Check reports whether password matches the stored hash; call it in a slot. renew tells that the
// caller should replace the hash by a new one of the password, because it is weaker than the
// settings, of another family, or of a spelling other than form C. It is false if another password
// may be the true one. A stored hash that is "" (for an account that does not exist) or cannot be
// parsed matches no password. A wrong password costs the work required, whatever the stored hash,
// so that the time does not tell whether the account exists.
func (h *Hasher) Check(password, stored string, required Work) (ok, renew bool) {
	parsed, err := parseHash(stored)
	if err != nil {
		if parsed, err = parseHash(h.unusable); err != nil {
			return false, false // never happens: unusable is valid
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

// Verify reports whether password matches the stored hash; call it in a slot. A wrong password
// costs only the work of the stored hash: use it where the caller knows that the account exists.
func (h *Hasher) Verify(password, stored string) bool {
	ok, _ := h.Check(password, stored, nil)
	return ok
}

// outdated reports whether the hash is of another family or weaker than the settings.
func (h *Hasher) outdated(hash string) bool {
	p, salt, key, err := argon2id.DecodeHash(hash)
	if err != nil {
		return true // another family
	}
	return p.Memory < h.params.Memory || p.Iterations < h.params.Iterations || p.Parallelism < h.params.Parallelism ||
		len(salt) < saltBytes || len(key) < hashBytes
}
