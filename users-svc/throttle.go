package users

import (
	"crypto/sha256"
	"strings"
	"time"

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

// accountKey names the count for an account, knownKey the one for an account and an address that it knows, nameKey the one for a name that
// no account has.
func accountKey(userID string) []byte { return digest("account", userID) }

func knownKey(userID, addressKey string) []byte { return digest("known", userID, addressKey) }

func nameKey(name string) []byte { return digest("name", strings.ToLower(name)) }

func digest(parts ...string) []byte {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return sum[:]
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
