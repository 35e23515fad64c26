package users

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"time"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/ratelimit"
)

// throttle slows guesses at the password of one account. Failures are counted in PostgreSQL, so
// that the count is one for all replicas and survives restarts. When the limit's count is reached
// within its period, each further failure doubles the wait, which begins at period/count; the count
// is forgotten a period after the last wait.
//
// An address from which the account was signed in to before has a count of its own, so that an
// attack from elsewhere does not lock the owner out. A name that no account has is counted just the
// same.
type throttle struct {
	*core
	rate   ratelimit.Rate
	hasher *hasher
	turns  *turns
}

func newThrottle(c *core, h *hasher, rate ratelimit.Rate) *throttle {
	return &throttle{core: c, rate: rate, hasher: h, turns: newTurns(rate, h.parallel(), c.now)}
}

// maxClocksApart is how far the clocks of replicas may be apart for their waits to count.
const maxClocksApart = time.Minute

// maxWaitPeriods bounds the wait, in periods of the limit.
const maxWaitPeriods = 4

// accountKey names the count for an account, nameKey the one for a name that no account has: as it
// is compared, so that another case of it is another name exactly where it would be with an
// account. knownKey that for an account and an address which it knows.
func accountKey(userID string) []byte { return digest("account", userID) }

func knownKey(userID, addressKey string) []byte { return digest("known", userID, addressKey) }

func nameKey(name string) []byte { return digest("name", name) }

// What a digest is made of before and after the id of an account, for the database.
const (
	accountKeyStart = "account" + digestSeparator
	knownKeyStart   = "known" + digestSeparator
)

func knownKeyEnd(addressKey string) []byte { return []byte(digestSeparator + addressKey) }

const digestSeparator = "\x00"

func digest(parts ...string) []byte {
	sum := sha256.Sum256([]byte(strings.Join(parts, digestSeparator)))
	return sum[:]
}

// standing is how the failures of a key stood.
type standing struct {
	key      []byte
	failures int        // within the period
	until    *time.Time // the account is closed until then; nil for never
	moment   uint64     // of turns, at which it was read
}

// refusal returns 429 RATE_LIMITED when the account is closed.
func (at standing) refusal(rate ratelimit.Rate, now time.Time) error {
	if rate.Off() || at.until == nil {
		return nil
	}
	// A longer wait than there is was written by a clock that was ahead.
	if left := at.until.Sub(now); left > 0 && left <= maxWaitPeriods*rate.Period+maxClocksApart {
		return apperr.RateLimitExceeded(left).WithLimit(rate.Count)
	}
	return nil
}

// guess runs check, which tells whether a password is right, when the key of at has a turn and the
// hasher a slot. A wrong password is counted and written down as wrong. Nothing but check runs in
// the slot.
func (t *throttle) guess(ctx context.Context, at standing, wrong happening, check func() (bool, error)) (right bool,
	err error) {
	err = t.hasher.queue(ctx, queueHolder(wrong.Device.Address), func(place *hashPlace) error {
		var then *standing
		if !t.rate.Off() {
			turn, err := t.turn(place, at)
			if err != nil {
				return err
			}
			defer func() { t.turns.done(turn, then) }()
		}
		err := t.hasher.slot(place, func() (err error) {
			right, err = check()
			return err
		})
		switch {
		case err != nil:
			return err
		case right:
			then = &standing{} // the caller forgets the failures
			return nil
		}
		then, err = t.failed(ctx, at.key, wrong)
		return err
	})
	return right && err == nil, err
}

// turn waits for a turn of the key of at, and reads at again when it is old.
func (t *throttle) turn(ctx context.Context, at standing) (*turn, error) {
	for {
		turn, err := t.turns.wait(ctx, at)
		switch {
		case errors.Is(err, errOld):
			if at, err = t.standing(ctx, at.key); err != nil {
				return nil, err
			}
		case err != nil && ctx.Err() != nil:
			return nil, t.hasher.refuse(context.Cause(ctx))
		default:
			return turn, err
		}
	}
}

// wait returns how long the account is closed after that many failures within the period.
func (t *throttle) wait(failures int) time.Duration {
	if failures < t.rate.Count {
		return 0
	}
	longest := maxWaitPeriods * t.rate.Period
	doublings := failures - t.rate.Count
	if doublings > 30 {
		return longest
	}
	return min(longest, t.rate.Period/time.Duration(t.rate.Count)<<doublings)
}
