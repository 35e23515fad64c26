package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/id"
)

// addUsers copies users into the table of users-svc until it has n. They cannot sign in.
func addUsers(ctx context.Context, url string, n int) error {
	there, err := one[int](ctx, url, "SELECT count(*) FROM users_svc.users")
	if err != nil {
		return err
	}
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	columns := []string{"id", "username", "email", "email_key", "alias", "password_hash", "email_verified",
		"signup_method", "created_at", "updated_at"}
	rows := pgx.CopyFromSlice(max(0, n-there), func(i int) ([]any, error) {
		name, now := fmt.Sprintf("grown-%d", there+i), time.Now()
		return []any{id.New(now), name, name + "@example.com", name + "@example.com", name, "!", true, "email", now,
			now}, nil
	})
	if _, err := c.CopyFrom(ctx, pgx.Identifier{"users_svc", "users"}, columns, rows); err != nil {
		return err
	}
	// done now, so that autovacuum and checkpoints do not slow down the measurement
	return execute(ctx, url, "VACUUM (ANALYZE) users_svc.users", "CHECKPOINT")
}

// otherItems is the number of items of other users in the group growth.
const otherItems = 50_000

// fillOtherVaults copies an item of the user into vaults of other users until there are otherItems.
// They cannot open it, but a table with the items of a single user would not be realistic.
func fillOtherVaults(ctx context.Context, url, user string) error {
	return execute(ctx, url, fmt.Sprintf(`
		INSERT INTO vault_svc.vault_items (user_id, realm_id, key, sealed, version, size_bytes, metadata_bytes)
		SELECT 'eeee' || lpad(to_hex(n), 20, '0'), '', 'key-0', sealed, version, size_bytes, 0
		FROM generate_series(1, %d) AS n, (SELECT * FROM vault_svc.vault_items WHERE user_id = '%s' LIMIT 1) AS one
		ON CONFLICT DO NOTHING`, otherItems, user), "VACUUM (ANALYZE) vault_svc.vault_items")
}
