// Package throttle provides the limit on wrong passwords of one account. Start reading at
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

// Throttle slows guesses at the password of one account. Failures are counted in PostgreSQL, so
// that the count is one for all replicas and survives restarts. When the limit's count is reached
// within its period, each further failure doubles the wait, which begins at period/count; the count
// is forgotten a period after the last wait.
//
// An address from which the account was signed in to before has a count of its own, so that an
// attack from elsewhere does not lock the owner out. A name that no account has is counted just the
// same.
type Throttle struct {
	*core.Core
	rate     ratelimit.Rate
	Hasher   *passwords.Hasher
	attempts *inFlightAttempts
}

func New(c *core.Core, hasher *passwords.Hasher, rate ratelimit.Rate) *Throttle {
	return &Throttle{Core: c, rate: rate, Hasher: hasher, attempts: newInFlightAttempts(rate, hasher.Parallel(), c.Now)}
}

// Version returns the number of the last change of any failures in this process. Read it before the
// state of a key, and store it in FailureState.Version.
func (t *Throttle) Version() uint64 { return t.attempts.currentVersion() }

// maxClocksApart is how far the clocks of replicas may be apart for their waits to count.
const maxClocksApart = time.Minute

// maxLockoutPeriods bounds the wait, in periods of the limit.
const maxLockoutPeriods = 4

// AccountKey names the count for an account, NameKey the one for a name that no account has: as it
// is compared, so that another case of it is another name exactly where it would be with an
// account. KnownKey that for an account and an address which it knows.
func AccountKey(userID string) []byte { return digest("account", userID) }

func KnownKey(userID, addressKey string) []byte { return digest("known", userID, addressKey) }

func NameKey(name string) []byte { return digest("name", name) }

// What a digest is made of before and after the id of an account, for the database.
const (
	AccountKeyPrefix = "account" + digestSeparator
	KnownKeyPrefix   = "known" + digestSeparator
)

func KnownKeySuffix(addressKey string) []byte { return []byte(digestSeparator + addressKey) }

const digestSeparator = "\x00"

// ConfirmKey returns the key of the failed confirmations of an account.
func ConfirmKey(userID string) []byte { return digest("confirm", userID) }

func digest(parts ...string) []byte {
	sum := sha256.Sum256([]byte(strings.Join(parts, digestSeparator)))
	return sum[:]
}

// FailureState is how the failures of a key stood.
type FailureState struct {
	Key          []byte
	Failures     int        // within the period
	BlockedUntil *time.Time // the account is closed until then; nil for never
	Version      uint64     // of turns, at which it was read
}

// Blocked returns 429 RATE_LIMITED with the time left when the key of state is locked out.
func (t *Throttle) Blocked(state FailureState) error { return state.blocked(t.rate, t.Now()) }

// Blocked returns 429 RATE_LIMITED when the account is closed.
func (s FailureState) blocked(rate ratelimit.Rate, now time.Time) error {
	if rate.Off() || s.BlockedUntil == nil {
		return nil
	}
	// A longer wait than there is was written by a clock that was ahead.
	if left := s.BlockedUntil.Sub(now); left > 0 && left <= maxLockoutPeriods*rate.Period+maxClocksApart {
		return apperr.RateLimitExceeded(left).WithLimit(rate.Count)
	}
	return nil
}

// Attempt runs check, which tells whether a password is right, when the key of at has a turn and
// the hasher a slot. A wrong password is counted and written down as wrong. Nothing but check runs
// in the slot.
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
			result = &FailureState{} // the caller forgets the failures
			return nil
		}
		result, err = t.recordFailure(ctx, state.Key, wrong)
		return err
	})
	return right && err == nil, err
}

// acquire waits for a turn of the key of at, and reads at again when it is old.
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

// lockout returns how long the account is closed after that many failures within the period.
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
