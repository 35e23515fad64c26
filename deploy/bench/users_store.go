package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/id"
)

// addUsers copies users into users-svc's table until there are n; they cannot log in.
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
	columns := []string{"id", "username", "email", "email_key", "alias", "password_hash", "email_verified", "signup_method", "created_at", "updated_at"}
	rows := pgx.CopyFromSlice(max(0, n-there), func(i int) ([]any, error) {
		name, now := fmt.Sprintf("grown-%d", there+i), time.Now()
		return []any{id.New(now), name, name + "@example.com", name + "@example.com", name, "!", true, "email", now, now}, nil
	})
	if _, err := c.CopyFrom(ctx, pgx.Identifier{"users_svc", "users"}, columns, rows); err != nil {
		return err
	}
	_, err = c.Exec(ctx, "VACUUM (ANALYZE) users_svc.users")
	return err
}
