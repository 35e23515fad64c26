package vault

import (
	"context"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
)

// verifyEvery is the number of items after which verify reports its progress.
const verifyEvery = 10_000

// verify opens every item and compares every account with its items. It writes one line to out for
// each fault, and its error counts them. It may run beside the service, because it reads each item
// and each account as one transaction left it.
func verify(ctx context.Context, store *verifyStore, keys *sealing.Keys, out io.Writer) error {
	var items, bad int
	err := store.items(ctx, func(ref sealing.Ref, row storedItem) error {
		if err := verifyItem(ctx, keys, ref, row); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			fmt.Fprintln(out, err)
			bad++
		}
		if items++; items%verifyEvery == 0 {
			fmt.Fprintf(out, "%d items opened so far\n", items)
		}
		return nil
	})
	if err != nil {
		return err
	}
	wrong, err := store.wrongAccounts(ctx)
	if err != nil {
		return err
	}
	for _, w := range wrong {
		fmt.Fprintf(out, "account of user=%s realm=%s is %d bytes in %d items; its items are %d bytes in %d\n", w.user,
			w.realm, w.bytes, w.items, w.realBytes, w.realItems)
	}
	fmt.Fprintf(out, "%d items, %d of them do not open, %d accounts wrong\n", items, bad, len(wrong))
	if bad+len(wrong) > 0 {
		return fmt.Errorf("%d items do not open and %d accounts are wrong", bad, len(wrong))
	}
	return nil
}

// verifyItem returns an error when a row does not open or its metadata is not JSON.
func verifyItem(ctx context.Context, keys *sealing.Keys, ref sealing.Ref, row storedItem) error {
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
