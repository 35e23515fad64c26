package users

import (
	"context"
	"flag"
	"fmt"

	"github.com/realmgate/realmgate/users-svc/internal/signing"
	"github.com/realmgate/realmgate/users-svc/internal/twofactor"
)

// resealBatch is how many secrets are sealed again in one statement.
const resealBatchSize = 500

// sealedRow is a secret as the database has it.
type sealedRow struct {
	id     string
	sealed []byte
}

// sealedKind is a table with secrets.
type sealedKind struct {
	name           string
	associatedData func(id string) string
	// list returns rows after an id, in the order of their ids.
	list string
	// replace stores new seals ($3) for ids ($1), unless a row's seal is not the one of before ($2)
	// any more.
	replace string
}

// sealedKinds is all that KEY_ENCRYPTION_KEY seals.
var sealedKinds = []sealedKind{
	{"signing keys", signing.AssociatedData, listSigningKeys, resealSigningKeys},
	{"second factors", twofactor.AssociatedData, listFactors, resealFactors},
}

// keysReseal seals every secret under the first key of KEY_ENCRYPTION_KEY, beside running replicas.
// Afterwards nothing needs the other keys, unless a replica without the new key has written
// meanwhile. The error counts what no key opens; it is left as it is.
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
