package vault

import (
	"context"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
	"github.com/realmgate/realmgate/vault-svc/internal/store"
)

// verifyEvery is the number of items after which verify reports its progress.
const verifyEvery = 10_000

// verify opens every item and every earlier version, and compares every account with the rows that
// it counts. It writes one line to out for each fault, and its error counts them. It may run beside
// the service, because it reads each item and each account as one transaction left it.
func verify(ctx context.Context, rows *store.Store, keys *sealing.Keys, out io.Writer) error {
	var opened, bad int // of items, then of earlier versions
	check := func(ref sealing.Ref, row store.Item) error {
		if err := verifyItem(ctx, keys, ref, row); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			fmt.Fprintf(out, "version %d: %v\n", row.Number, err)
			bad++
		}
		if opened++; opened%verifyEvery == 0 {
			fmt.Fprintf(out, "%d items opened so far\n", opened)
		}
		return nil
	}
	if err := rows.AllItems(ctx, check); err != nil {
		return err
	}
	items, badItems := opened, bad
	if err := rows.AllVersions(ctx, check); err != nil {
		return err
	}
	wrong, err := rows.WrongAccounts(ctx)
	if err != nil {
		return err
	}
	for _, w := range wrong {
		fmt.Fprintf(out, "account of user=%s, %s, is %d bytes in %d rows; the rows are %d bytes in %d\n", w.User, w.What,
			w.Bytes, w.Rows, w.RealBytes, w.RealRows)
	}
	orphans, err := rows.OrphanVersions(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d earlier versions, %d of them do not open, %d have no key\n", opened-items, bad-badItems, orphans)
	fmt.Fprintf(out, "%d items, %d of them do not open, %d accounts wrong\n", items, badItems, len(wrong))
	if bad+len(wrong)+int(orphans) > 0 {
		return fmt.Errorf("%d items and versions do not open, %d versions have no key, %d accounts are wrong", bad, orphans,
			len(wrong))
	}
	return nil
}

// verifyItem returns an error when a row does not open or its metadata is not JSON.
func verifyItem(ctx context.Context, keys *sealing.Keys, ref sealing.Ref, row store.Item) error {
	key, err := keys.Find(ctx, ref.User)
	if err != nil {
		return fmt.Errorf("%s: %w", ref, err)
	}
	if key == nil {
		return fmt.Errorf("%s: the user has no data key", ref)
	}
	_, metadata, err := openRow(key, ref, row)
	if err == nil && metadata != nil && !jsontext.Value(metadata).IsValid() {
		err = fmt.Errorf("metadata of %s is not JSON", ref)
	}
	return err
}
