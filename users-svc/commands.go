package users

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/admin"
	"github.com/realmgate/realmgate/users-svc/internal/passwords"
	"github.com/realmgate/realmgate/users-svc/internal/signing"
	"github.com/realmgate/realmgate/users-svc/internal/throttle"
)

// commands are the subcommands of the binary. They can run beside running replicas.
func commands() []service.Command[Config] {
	return []service.Command[Config]{
		{
			Name: "admin create",
			Doc:  "-email ADDRESS [-password-file FILE]: create an admin, or make the account with that address one.",
			Run:  withResources(adminCreate),
		},
		{
			Name: "admin password",
			Doc:  "[-email ADDRESS] [-password-file FILE]: set a new password for an admin and end the old sessions.",
			Run:  withResources(adminPassword),
		},
		{
			Name: "keys rotate",
			Doc:  "[-now]: make a new signing key, which signs after 15 minutes, or at once.",
			Run:  withResources(keysRotate),
		},
		{
			Name: "keys revoke",
			Doc:  "KID: make gateways refuse all tokens of a signing key within a second; for a key that leaked.",
			Run:  withResources(keysRevoke),
		},
		{
			Name: "keys reseal",
			Doc:  "reseal every secret under the first key of KEY_ENCRYPTION_KEY, so that the others can be removed.",
			Run:  withResources(keysReseal),
		},
		{
			Name: "mail test",
			Doc:  "ADDRESS: send a test mail and print what the mail server said.",
			Run:  mailTest,
		},
		{
			Name: "emails check",
			Doc:  "[-rekey]: list accounts whose address breaks the rule for addresses; exit 1 when there are any.",
			Run:  withResources(emailsCheck),
		},
		{
			Name: "logins failed",
			Doc:  "[-since 24h] [-limit 50]: list the client addresses of failed sign-ins.",
			Run:  withResources(loginsFailed),
		},
		{
			Name: "import",
			Doc:  "[-format csv|jsonl] FILE: add accounts with bcrypt, Argon2id or PBKDF2 hashes (\"users-svc import -help\").",
			Run:  withResources(importUsers),
		},
	}
}

// command holds the resources, settings and output of a running subcommand.
type command struct {
	*resources
	cfg Config
	out io.Writer
}

func (c *command) keyring() *signing.Keyring {
	return signing.New(c.Core, c.cfg.Signing, c.cfg.Sessions.AccessTTL, c.sealer, c.clock)
}

func (c *command) admins() *admin.Service {
	policy := passwords.NewPolicy(c.cfg.Passwords.DenyCommon, c.cfg.AppName)
	loginThrottle := throttle.New(c.Core, passwords.NewHasher(c.cfg.Passwords), c.cfg.Passwords.AccountRate)
	accounts := account.New(loginThrottle, policy, c.cfg.VaultQuotaMB)
	return admin.New(accounts, nil, nil, policy, c.cfg.Mail.On())
}

// withResources returns a command that opens the resources, runs f and closes the resources.
func withResources(f func(ctx context.Context, cmd *command, args []string) error) func(context.Context, Config,
	service.Runtime, []string, io.Writer) error {
	return func(ctx context.Context, cfg Config, rt service.Runtime, args []string, out io.Writer) (err error) {
		var closers []func(context.Context) error
		defer func() {
			for _, closeIt := range slices.Backward(closers) {
				err = errors.Join(err, closeIt(context.WithoutCancel(ctx)))
			}
		}()
		onStop := func(_ string, closeIt func(context.Context) error) { closers = append(closers, closeIt) }
		res, err := openResources(ctx, onStop, cfg, rt)
		if err == nil && cfg.DB.Migrate {
			err = db.Migrate(ctx, res.Pool, schema, migrationFiles, rt.Log)
		}
		if err != nil {
			return err
		}
		if err = f(ctx, &command{resources: res, cfg: cfg, out: out}, args); errors.Is(err, flag.ErrHelp) {
			err = nil
		}
		return err
	}
}

// parseFlags parses args. With -help it prints the flags to out and returns flag.ErrHelp.
func parseFlags(name string, args []string, out io.Writer, define func(*flag.FlagSet)) (*flag.FlagSet, error) {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(out)
	define(flags)
	return flags, flags.Parse(args)
}

// onlyFlags is parseFlags for a command without arguments. It refuses arguments, because one may be
// a flag without its dash.
func onlyFlags(name string, args []string, out io.Writer, define func(*flag.FlagSet)) error {
	flags, err := parseFlags(name, args, out, define)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("%s does not know %q", name, flags.Arg(0))
	}
	return err
}
