package users

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/realmgate/realmgate/users-svc/internal/history"
)

// loginsFailed runs "logins failed": it prints the client addresses of failed sign-ins, so that an
// operator can block some of them.
func loginsFailed(ctx context.Context, cmd *command, args []string) error {
	since, limit := 24*time.Hour, 50
	if err := onlyFlags("logins failed", args, cmd.out, func(f *flag.FlagSet) {
		f.DurationVar(&since, "since", since, "how far back, in whole hours")
		f.IntVar(&limit, "limit", limit, "how many addresses, those with the most failures first")
	}); err != nil {
		return err
	}
	if since <= 0 || limit < 1 {
		return errors.New("-since and -limit must be above 0")
	}
	list, total, err := history.ListFailedLogins(ctx, cmd.Pool, cmd.Now().Add(-since), limit)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(cmd.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ADDRESS\tFAILED\tUNKNOWN NAMES\tACCOUNTS\tLAST")
	for _, f := range list {
		last := f.LastAt.UTC().Format(time.RFC3339)
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%s\n", f.Address, f.Failures, f.Unknown, f.Accounts, last)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(cmd.out, "%d of %d addresses\n", len(list), total)
	return nil
}
