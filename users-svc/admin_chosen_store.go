package users

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ChosenAdmin returns the admin with the address, the only admin when it is "".
func (a *administration) ChosenAdmin(ctx context.Context, email string) (account, error) {
	if email == "" {
		ids, err := adminIDs(ctx, a.pool)
		switch {
		case err != nil:
			return account{}, err
		case len(ids) != 1:
			return account{}, fmt.Errorf("there are %d admins: say with -email which one", len(ids))
		}
		return accountByID(ctx, a.pool, ids[0])
	}
	found, err := accountByEmail(ctx, a.pool, email)
	if err != nil || !found.IsAdmin {
		return found, errors.Join(fmt.Errorf("no admin has the address %s: admin create makes one", email), err)
	}
	return found, nil
}

func adminIDs(ctx context.Context, q dbtx) ([]string, error) {
	rows, err := q.Query(ctx, `SELECT id FROM users WHERE is_admin`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
