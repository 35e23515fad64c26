package db_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/db"
)

func ExampleInTx() {
	ctx := context.Background()
	pool, err := db.Open(ctx, db.Config{URL: config.Secret(os.Getenv("DATABASE_URL"))}, "accounts", nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	errEmpty := errors.New("the account is empty")
	err = db.InTx(ctx, pool, func(tx pgx.Tx) error {
		var cents int
		err := tx.QueryRow(ctx, `UPDATE account SET cents = cents - 1 WHERE id = $1 RETURNING cents`, 7).Scan(&cents)
		if err == nil && cents < 0 {
			err = errEmpty
		}
		return err // nil commits, an error rolls back
	})
	fmt.Println(err)
}
