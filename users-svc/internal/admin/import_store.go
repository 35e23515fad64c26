package admin

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/users-svc/internal/account"
)

// flush inserts the batch in one transaction. A row whose address or username is taken is refused;
// any other error rolls back the whole batch.
func (im *importer) flush(ctx context.Context) error {
	var refused []func()
	err := db.InTx(ctx, im.Pool, func(tx pgx.Tx) error {
		refused = nil
		for _, row := range im.batch {
			_, created, err := account.Insert(ctx, tx, row.Draft)
			switch {
			case apperr.Is(err, "USERNAME_TAKEN"):
				refused = append(refused, func() { im.refuse(row.line, "username is taken") })
			case err != nil:
				return fmt.Errorf("line %d: %w", row.line, err)
			case !created:
				refused = append(refused, func() { im.refuse(row.line, "email has an account already") })
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, report := range refused {
		report()
	}
	importedBefore := im.imported
	im.imported += len(im.batch) - len(refused)
	im.batch = im.batch[:0]
	if im.imported/importProgress > importedBefore/importProgress {
		fmt.Fprintf(im.out, "%d imported so far\n", im.imported)
	}
	return nil
}
