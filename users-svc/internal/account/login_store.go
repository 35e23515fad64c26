package account

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/throttle"
)

// selectClaimed returns one row for a name that somebody wants to sign in with, whether an account
// has it or not: its columns are null then. The same is asked for both, so that it takes the same
// time. The key is a digest of throttle.go, of which Go makes the ends: it is made here because it
// needs the account, and the failures need it. OFFSET 0 keeps the planner from making it, and from
// asking the history, each time that it is named.
const selectForLogin = `SELECT ` + accountColumns + `, claimed.key, CASE WHEN t.forget_at > $7 THEN t.failures ELSE 0 END, t.blocked_until
	FROM (
	    SELECT of_account.*, CASE WHEN id IS NULL THEN $3 WHEN known THEN sha256($5::bytea || id::bytea || $6::bytea) ELSE sha256($4::bytea || id::bytea) END AS key
	    FROM (
	        SELECT u.*, EXISTS (SELECT FROM login_history h
	            WHERE h.user_id = coalesce(u.id, '') AND h.address_key = $2 AND h.event = 'login' AND NOT h.failed) AS known
	        FROM (SELECT) one LEFT JOIN users u ON `

const selectForLoginEnd = ` = $1 OFFSET 0) of_account OFFSET 0) claimed LEFT JOIN login_throttle t ON t.key = claimed.key`

// FindForLogin finds the account that a login names, an address in any case, else the exact
// username, and how its failures stand for the address.
func FindForLogin(ctx context.Context, q core.DBTX, name, address string, now time.Time) (Account,
	throttle.FailureState, error) {
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
