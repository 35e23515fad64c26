package users

import (
	"crypto/sha256"
	"strings"
	"time"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/limit"
)

// throttle slows guesses at the password of one account. Failures are counted in PostgreSQL, so that the count is one for all replicas and
// survives restarts. When the limit's count is reached within its period, each further failure doubles the wait, which begins at
// period/count; the count is forgotten a period after the last wait.
//
// An address from which the account was signed in to before has a count of its own, so that an attack from elsewhere does not lock the
// owner out. A name that no account has is counted just the same.
type throttle struct {
	*core
	rate limit.Rate
}

// maxWaitPeriods bounds the wait, in periods of the limit.
const maxWaitPeriods = 4

// accountKey names the count for an account, nameKey the one for a name that no account has. That for an account and an address which it knows is
// digest("known", userID, addressKey).
func accountKey(userID string) []byte { return digest("account", userID) }

func nameKey(name string) []byte { return digest("name", strings.ToLower(name)) }

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

// standing is how the failures of a key stand.
type standing struct {
	key      []byte
	failures int        // within the period
	until    *time.Time // the account is closed until then; nil for never
}

// refusal returns 429 RATE_LIMITED while the account is closed.
func (t *throttle) refusal(at standing) error {
	if t.rate.Off() || at.until == nil {
		return nil
	}
	if left := at.until.Sub(t.now()); left > 0 {
		return apperr.RateLimitExceeded(left).WithLimit(t.rate.Count)
	}
	return nil
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
