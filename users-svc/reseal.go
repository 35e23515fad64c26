package users

import (
	"context"
	"flag"
	"fmt"

	"github.com/realmgate/realmgate/users-svc/internal/signing"
	"github.com/realmgate/realmgate/users-svc/internal/twofactor"
)

// resealBatchSize is the number of secrets that one statement reseals.
const resealBatchSize = 500

// sealedRow is a sealed secret and the id of its row.
type sealedRow struct {
	id     string
	sealed []byte
}

// sealedKind is a table with sealed secrets.
type sealedKind struct {
	name           string
	associatedData func(id string) string
	// list selects the rows that follow an id, in the order of their ids.
	list string
	// replace stores new sealed secrets ($3) in the rows with ids ($1) that still have the old ones
	// ($2).
	replace string
}

// sealedKinds are all tables whose secrets KEY_ENCRYPTION_KEY seals.
var sealedKinds = []sealedKind{
	{"signing keys", signing.AssociatedData, listSigningKeys, resealSigningKeys},
	{"second factors", twofactor.AssociatedData, listFactors, resealFactors},
}

// keysReseal runs "keys reseal": it reseals every secret under the first key of KEY_ENCRYPTION_KEY,
// beside running replicas. Afterwards the other keys can be removed, unless a replica without the
// new key wrote a secret meanwhile. A secret that no key opens stays as it is, and the error counts
// these.
func keysReseal(ctx context.Context, cmd *command, args []string) error {
	if err := onlyFlags("keys reseal", args, cmd.out, func(*flag.FlagSet) {}); err != nil {
		return err
	}
	failures := 0
	for _, kind := range sealedKinds {
		done, failed, err := cmd.reseal(ctx, kind)
		if err != nil {
			return fmt.Errorf("%s: %w", kind.name, err)
		}
		failures += failed
		fmt.Fprintf(cmd.out, "%d %s sealed again\n", done, kind.name)
	}
	if failures > 0 {
		return fmt.Errorf("%d secrets do not open with any key of KEY_ENCRYPTION_KEY", failures)
	}
	return nil
}

// reseal reseals the secrets of one table. It returns the number of resealed secrets, and of those
// that no key opens.
func (c *command) reseal(ctx context.Context, kind sealedKind) (done, failed int, err error) {
	for after := ""; ; {
		batch, err := readSealed(ctx, c.Pool, kind.list, after, resealBatchSize)
		if err != nil || len(batch) == 0 {
			return done, failed, err
		}
		after = batch[len(batch)-1].id
		var before, renewed []sealedRow
		for _, row := range batch {
			sealed, err := c.sealer.Reseal(row.sealed, kind.associatedData(row.id))
			switch {
			case err != nil:
				fmt.Fprintln(c.out, err)
				failed++
			case sealed != nil:
				before, renewed = append(before, row), append(renewed, sealedRow{row.id, sealed})
			}
		}
		n, err := replaceSealed(ctx, c.Pool, kind.replace, before, renewed)
		if err != nil {
			return done, failed, err
		}
		done += n
	}
}
