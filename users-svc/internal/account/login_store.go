package account

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/throttle"
)

// FindForLogin returns the account with the address name (in any case), or with exactly the
// username name, and the failure count for its sign-ins from the network address. Without such an
// account the returned account is empty and the count is that of the name.
func FindForLogin(ctx context.Context, q core.DBTX, name, address string,
	now time.Time) (Account, throttle.FailureState, error) {
	column, value := "u.username", name
	if strings.Contains(name, "@") {
		key, err := StoredKey(ctx, q, name)
		if err != nil {
			return Account{}, throttle.FailureState{}, err
		}
		column, value = "u.email_key", key
	}
	rows, err := q.Query(ctx, selectForLogin+column+selectForLoginEnd, value, address, throttle.NameKey(value),
		[]byte(throttle.AccountKeyPrefix),
		[]byte(throttle.KnownKeyPrefix), throttle.KnownKeySuffix(address), now)
	if err != nil {
		return Account{}, throttle.FailureState{}, err
	}
	var state throttle.FailureState
	account, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (Account, error) {
		var account Account
		targets := account.columns()
		if row.RawValues()[0] == nil {
			clear(targets)
		}
		err := row.Scan(append(targets, &state.Key, &state.Failures, &state.BlockedUntil)...)
		return account, err
	})
	return account, state, err
}

// selectForLogin returns exactly one row for a name, with null account columns when no account has
// the name. Known and unknown names run the same subqueries, so that both take the same time. It
// also computes the key of the failure count, the digest that throttle.AccountKey or
// throttle.KnownKey makes in Go, because the key depends on the account. OFFSET 0 keeps the planner
// from evaluating the key and the history once for each place where they are used.
const selectForLogin = `
	SELECT ` + accountColumns + `, claimed.key,
		CASE WHEN t.forget_at > $7 THEN t.failures ELSE 0 END, t.blocked_until
	FROM (
	    SELECT of_account.*, CASE WHEN id IS NULL THEN $3
	        WHEN known THEN sha256($5::bytea || id::bytea || $6::bytea)
	        ELSE sha256($4::bytea || id::bytea) END AS key
	    FROM (
	        SELECT u.*, EXISTS (SELECT FROM login_history h
	            WHERE h.user_id = coalesce(u.id, '') AND h.address_key = $2 AND h.event = 'login'
	                AND NOT h.failed) AS known
	        FROM (SELECT) one LEFT JOIN users u ON `

const selectForLoginEnd = ` = $1 OFFSET 0) of_account OFFSET 0) claimed
	LEFT JOIN login_throttle t ON t.key = claimed.key`
