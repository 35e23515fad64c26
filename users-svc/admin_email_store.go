package users

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/users-svc/internal/mailaddr"
)

// undefinedTable is the SQLSTATE undefined_table of a database that was not migrated yet.
const undefinedTable = "42P01"

// AdminEmail returns the address of an admin in the database at url: preferred if an admin has it,
// otherwise the address of the oldest admin account, or "" when there is no admin or the database
// is not migrated yet.
func AdminEmail(ctx context.Context, url config.Secret, preferred string) (string, error) {
	pool, err := db.Open(ctx, db.Config{URL: url, MaxConns: 1, Timeout: 5 * time.Second}, schema, nil, nil)
	if err != nil {
		return "", err
	}
	defer pool.Close()
	var email string
	err = pool.QueryRow(ctx, `SELECT email FROM users WHERE is_admin ORDER BY email_key = ANY($1) DESC, id LIMIT 1`,
		mailaddr.KeysOf(preferred).All).Scan(&email)
	if pe, ok := errors.AsType[*pgconn.PgError](err); db.IsNoRows(err) || ok && pe.Code == undefinedTable {
		return "", nil
	}
	return email, err
}
