package account

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/mailaddr"
)

// StoredKey returns the email key under which the account with the address is stored. Without such
// an account it returns the key that a new account would get.
func StoredKey(ctx context.Context, q core.DBTX, address string) (string, error) {
	keys := mailaddr.KeysOf(address)
	if len(keys.All) == 1 {
		return keys.Primary, nil
	}
	var key string
	err := q.QueryRow(ctx, `SELECT email_key FROM users WHERE email_key = ANY ($1) AND (email_key <> $2 OR email = $3)
		ORDER BY array_position($1, email_key) LIMIT 1`, keys.All, keys.Exact, address).Scan(&key)
	if db.IsNoRows(err) {
		return keys.Primary, nil
	}
	return key, err
}

// ByEmail returns the account with the address, or 404 USER_NOT_FOUND.
func ByEmail(ctx context.Context, q core.DBTX, address string) (Account, error) {
	key, err := StoredKey(ctx, q, address)
	if err != nil {
		return Account{}, err
	}
	return findOne(ctx, q, `WHERE email_key = $1`, key)
}

// ByKey returns the account with an email key, or false.
func ByKey(ctx context.Context, q core.DBTX, key string) (Account, bool, error) {
	account, err := findOne(ctx, q, `WHERE email_key = $1`, key)
	if apperr.Is(err, "USER_NOT_FOUND") {
		return account, false, nil
	}
	return account, err == nil, err
}

// storedEmail is the address of an account and its email key.
type storedEmail struct{ ID, Email, Key string }

// emailsAfter returns the addresses of up to limit accounts whose ids follow id, in the order of
// the ids.
func emailsAfter(ctx context.Context, q core.DBTX, id string, limit int) ([]storedEmail, error) {
	rows, err := q.Query(ctx, `SELECT id, email, email_key FROM users WHERE id > $1 ORDER BY id LIMIT $2`, id, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[storedEmail])
}

// writeKey stores an account under another email key. It reports false when the key is taken, or
// when the address has changed meanwhile.
func writeKey(ctx context.Context, q core.DBTX, stored storedEmail, key string) (bool, error) {
	tag, err := q.Exec(ctx, `UPDATE users SET email_key = $2 WHERE id = $1 AND email = $3 AND email_key = $4
		AND NOT EXISTS (SELECT FROM users WHERE email_key = $2)`, stored.ID, key, stored.Email, stored.Key)
	return tag.RowsAffected() == 1, err
}
