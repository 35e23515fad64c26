package users

import (
	"context"
	"flag"

	"github.com/realmgate/realmgate/users-svc/internal/account"
)

// emailsCheck runs "emails check": it lists the accounts whose address breaks the rule for
// addresses.
func emailsCheck(ctx context.Context, cmd *command, args []string) error {
	var rekey bool
	if err := onlyFlags("emails check", args, cmd.out, func(f *flag.FlagSet) {
		f.BoolVar(&rekey, "rekey", false,
			"store each account under the key of today's rule where that is free; first update every replica")
	}); err != nil {
		return err
	}
	return account.CheckEmails(ctx, cmd.Pool, rekey, cmd.out)
}
