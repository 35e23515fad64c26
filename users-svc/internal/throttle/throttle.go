// Package throttle provides the limit on wrong passwords for one account. Start reading at
// Throttle.Attempt.
package throttle

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"time"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/ratelimit"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/passwords"
)

// Throttle slows down guesses at the password of one account. It counts failures in PostgreSQL, so
// that all replicas share the count and it survives restarts. When the failures reach the count of
// the rate within its period, the account is locked out for period/count, and each further failure
// doubles the lockout. The count is reset one period after the end of the last lockout.
//
// The account has a separate count for each network from which it was signed in to before, so that
// an attack from elsewhere does not lock out the owner. Names that no account has are counted
// alike.
type Throttle struct {
	*core.Core
	rate     ratelimit.Rate
	Hasher   *passwords.Hasher
	attempts *inFlightAttempts
}

// New returns a throttle with the rate of failures for one key. It checks passwords in slots of the
// hasher.
func New(c *core.Core, hasher *passwords.Hasher, rate ratelimit.Rate) *Throttle {
	return &Throttle{Core: c, rate: rate, Hasher: hasher, attempts: newInFlightAttempts(rate, hasher.Parallel(), c.Now)}
}

const (
	// maxLockoutPeriods bounds a lockout, in periods of the rate.
	maxLockoutPeriods = 4
	// maxClockSkew is the most by which the clocks of replicas may differ.
	maxClockSkew = time.Minute
)

// FailureState is the state of the failures of one key, as it was read.
type FailureState struct {
	Key          []byte
	Failures     int        // within the period
	BlockedUntil *time.Time // the end of the last lockout; nil for none
	Version      uint64     // Throttle.Version before the state was read
}

// Version returns the number of the last change of any failures in this process. Read it before the
// state of a key, and store it in FailureState.Version.
func (t *Throttle) Version() uint64 { return t.attempts.currentVersion() }

// Blocked returns 429 RATE_LIMITED with the time left when the key of state is locked out.
func (t *Throttle) Blocked(state FailureState) error { return state.blocked(t.rate, t.Now()) }

func (s FailureState) blocked(rate ratelimit.Rate, now time.Time) error {
	if rate.Off() || s.BlockedUntil == nil {
		return nil
	}
	// A lockout longer than the longest was written by a replica whose clock is wrong; it is
	// ignored.
	if left := s.BlockedUntil.Sub(now); left > 0 && left <= maxLockoutPeriods*rate.Period+maxClockSkew {
		return apperr.RateLimitExceeded(left).WithLimit(rate.Count)
	}
	return nil
}

// Attempt runs check, which reports whether a password is right, once the key of state allows
// another attempt and the hasher has a free slot. After a wrong password it counts the failure and
// records the event wrong; after a right one, the caller must call Reset. Errors are 429
// RATE_LIMITED when the key is locked out, 503 when the hasher is overloaded, and those of check.
func (t *Throttle) Attempt(ctx context.Context, state FailureState, wrong history.Event,
	check func() (bool, error)) (right bool,
	err error) {
	err = t.Hasher.Enqueue(ctx, passwords.QueueClient(wrong.Device.Address), func(ticket *passwords.Ticket) error {
		var result *FailureState
		if !t.rate.Off() {
			attempt, err := t.acquire(ticket, state)
			if err != nil {
				return err
			}
			defer func() { t.attempts.finish(attempt, result) }()
		}
		err := t.Hasher.Run(ticket, func() (err error) {
			right, err = check()
			return err
		})
		switch {
		case err != nil:
			return err
		case right:
			result = &FailureState{} // the caller resets the failures
			return nil
		}
		result, err = t.recordFailure(ctx, state.Key, wrong)
		return err
	})
	return right && err == nil, err
}

// acquire starts an attempt of the key of state, and reads the state again while it is stale.
func (t *Throttle) acquire(ctx context.Context, state FailureState) (*keyAttempts, error) {
	for {
		attempt, err := t.attempts.start(ctx, state)
		switch {
		case errors.Is(err, errStale):
			if state, err = t.State(ctx, state.Key); err != nil {
				return nil, err
			}
		case err != nil && ctx.Err() != nil:
			return nil, t.Hasher.Overloaded(context.Cause(ctx))
		default:
			return attempt, err
		}
	}
}

// lockout returns how long a key is locked out after the number of failures within the period.
func (t *Throttle) lockout(failures int) time.Duration {
	if failures < t.rate.Count {
		return 0
	}
	longest := maxLockoutPeriods * t.rate.Period
	doublings := failures - t.rate.Count
	if doublings > 30 {
		return longest
	}
	return min(longest, t.rate.Period/time.Duration(t.rate.Count)<<doublings)
}

// AccountKey returns the key that counts the failures of an account.
func AccountKey(userID string) []byte { return digest("account", userID) }

// KnownKey returns the key that counts the failures of an account from a network from which it was
// signed in to before; network is a result of netaddr.NetworkOf.
func KnownKey(userID, network string) []byte { return digest("known", userID, network) }

// NameKey returns the key that counts the failures of a name that no account has. name must be
// normalized like the names of accounts, so that names which mean the same account have one key.
func NameKey(name string) []byte { return digest("name", name) }

// ConfirmKey returns the key that counts the failed confirmations of an account.
func ConfirmKey(userID string) []byte { return digest("confirm", userID) }

const digestSeparator = "\x00"

// AccountKeyPrefix and KnownKeyPrefix let the database compute AccountKey and KnownKey: the SHA-256
// of the prefix, the id of the account, and for KnownKey the result of KnownKeySuffix.
const (
	AccountKeyPrefix = "account" + digestSeparator
	KnownKeyPrefix   = "known" + digestSeparator
)

// KnownKeySuffix returns the text that follows the id of the account in the digest of KnownKey.
func KnownKeySuffix(network string) []byte { return []byte(digestSeparator + network) }

func digest(parts ...string) []byte {
	sum := sha256.Sum256([]byte(strings.Join(parts, digestSeparator)))
	return sum[:]
}
