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
	Rate     ratelimit.Rate
	Hasher   *passwords.Hasher
	Attempts *inFlightAttempts
}

func New(c *core.Core, h *passwords.Hasher, rate ratelimit.Rate) *Throttle {
	return &Throttle{Core: c, Rate: rate, Hasher: h, Attempts: newInFlightAttempts(rate, h.Parallel(), c.Now)}
}

// maxClocksApart is how far the clocks of replicas may be apart for their waits to count.
const maxClocksApart = time.Minute

// maxLockoutPeriods bounds the wait, in periods of the limit.
const maxLockoutPeriods = 4

// AccountKey names the count for an account, NameKey the one for a name that no account has: as it
// is compared, so that another case of it is another name exactly where it would be with an
// account. KnownKey that for an account and an address which it knows.
func AccountKey(userID string) []byte { return Digest("account", userID) }

func KnownKey(userID, addressKey string) []byte { return Digest("known", userID, addressKey) }

func NameKey(name string) []byte { return Digest("name", name) }

// What a digest is made of before and after the id of an account, for the database.
const (
	AccountKeyPrefix = "account" + digestSeparator
	KnownKeyPrefix   = "known" + digestSeparator
)

func KnownKeySuffix(addressKey string) []byte { return []byte(digestSeparator + addressKey) }

const digestSeparator = "\x00"

func Digest(parts ...string) []byte {
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

// Blocked returns 429 RATE_LIMITED when the account is closed.
func (at FailureState) Blocked(rate ratelimit.Rate, now time.Time) error {
	if rate.Off() || at.BlockedUntil == nil {
		return nil
	}
	// A longer wait than there is was written by a clock that was ahead.
	if left := at.BlockedUntil.Sub(now); left > 0 && left <= maxLockoutPeriods*rate.Period+maxClocksApart {
		return apperr.RateLimitExceeded(left).WithLimit(rate.Count)
	}
	return nil
}

// Attempt runs check, which tells whether a password is right, when the key of at has a turn and
// the hasher a slot. A wrong password is counted and written down as wrong. Nothing but check runs
// in the slot.
func (t *Throttle) Attempt(ctx context.Context, at FailureState, wrong history.Event,
	check func() (bool, error)) (right bool,
	err error) {
	err = t.Hasher.Enqueue(ctx, passwords.QueueHolder(wrong.Device.Address), func(place *passwords.Ticket) error {
		var then *FailureState
		if !t.Rate.Off() {
			turn, err := t.acquire(place, at)
			if err != nil {
				return err
			}
			defer func() { t.Attempts.finish(turn, then) }()
		}
		err := t.Hasher.Run(place, func() (err error) {
			right, err = check()
			return err
		})
		switch {
		case err != nil:
			return err
		case right:
			then = &FailureState{} // the caller forgets the failures
			return nil
		}
		then, err = t.recordFailure(ctx, at.Key, wrong)
		return err
	})
	return right && err == nil, err
}

// acquire waits for a turn of the key of at, and reads at again when it is old.
func (t *Throttle) acquire(ctx context.Context, at FailureState) (*keyAttempts, error) {
	for {
		turn, err := t.Attempts.start(ctx, at)
		switch {
		case errors.Is(err, errStale):
			if at, err = t.State(ctx, at.Key); err != nil {
				return nil, err
			}
		case err != nil && ctx.Err() != nil:
			return nil, t.Hasher.Overloaded(context.Cause(ctx))
		default:
			return turn, err
		}
	}
}

// lockout returns how long the account is closed after that many failures within the period.
func (t *Throttle) lockout(failures int) time.Duration {
	if failures < t.Rate.Count {
		return 0
	}
	longest := maxLockoutPeriods * t.Rate.Period
	doublings := failures - t.Rate.Count
	if doublings > 30 {
		return longest
	}
	return min(longest, t.Rate.Period/time.Duration(t.Rate.Count)<<doublings)
}
