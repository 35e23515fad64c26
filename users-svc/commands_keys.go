package users

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/realmgate/realmgate/pkg/api"
)

// keysRotate runs "keys rotate": it adds a signing key, regardless of the age of the newest one.
func keysRotate(ctx context.Context, cmd *command, args []string) error {
	var now bool
	if err := onlyFlags("keys rotate", args, cmd.out, func(f *flag.FlagSet) {
		f.BoolVar(&now, "now", false,
			"let it sign at once: for a key that may have leaked; gateways fetch it when they first see it")
	}); err != nil {
		return err
	}
	from, err := cmd.keyring().Rotate(ctx, now)
	if err == nil {
		text, _ := api.Time(from).MarshalText()
		fmt.Fprintf(cmd.out, "a new key signs from %s; the old one is published until its last token has expired\n",
			text)
	}
	return err
}

// keysRevoke runs "keys revoke": it deletes a signing key. Sessions stay, because their refresh
// tokens obtain new access tokens.
func keysRevoke(ctx context.Context, cmd *command, args []string) error {
	flags, err := parseFlags("keys revoke", args, cmd.out, func(*flag.FlagSet) {})
	if err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("keys revoke takes the id of one key: " +
			"the kid in the header of its tokens and in /.well-known/jwks.json")
	}
	replaced, err := cmd.keyring().Revoke(ctx, flags.Arg(0))
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.out, "%s is revoked: gateways refuse its access tokens within a second, "+
		"and clients refresh theirs\n", flags.Arg(0))
	if replaced {
		fmt.Fprintln(cmd.out, "a new key signs from now on")
	}
	return nil
}
