package users

import (
	"context"
	"errors"
	"flag"
	"io"

	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/users-svc/internal/mail"
)

// mailTest runs "mail test": it sends a test mail with the settings of the service.
func mailTest(ctx context.Context, cfg Config, _ service.Runtime, args []string, out io.Writer) error {
	flags, err := parseFlags("mail test", args, out, func(*flag.FlagSet) {})
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case flags.NArg() != 1:
		return errors.New("mail test needs exactly one ADDRESS")
	}
	return mail.SendTest(ctx, cfg.Mail, cfg.AppName, flags.Arg(0), out)
}
