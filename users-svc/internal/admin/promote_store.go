package admin

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/core"
)

// ChosenAdmin returns the admin with the address. With "" it returns the only admin, or an error
// when there are several.
func (s *Service) ChosenAdmin(ctx context.Context, email string) (account.Account, error) {
	if email == "" {
		ids, err := adminIDs(ctx, s.Pool)
		switch {
		case err != nil:
			return account.Account{}, err
		case len(ids) != 1:
			return account.Account{}, fmt.Errorf("there are %d admins: say with -email which one", len(ids))
		}
		return account.ByID(ctx, s.Pool, ids[0])
	}
	user, err := account.ByEmail(ctx, s.Pool, email)
	if err != nil || !user.IsAdmin {
		return user, errors.Join(fmt.Errorf("no admin has the address %s: admin create makes one", email), err)
	}
	return user, nil
}

func adminIDs(ctx context.Context, q core.DBTX) ([]string, error) {
	rows, err := q.Query(ctx, `SELECT id FROM users WHERE is_admin`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
