package users

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/realmgate/realmgate/users-svc/internal/admin"
)

// importUsers runs "import": it adds the accounts of a file.
func importUsers(ctx context.Context, cmd *command, args []string) error {
	var format string
	flags, err := parseFlags("import", args, cmd.out, func(f *flag.FlagSet) {
		f.StringVar(&format, "format", "", "csv or jsonl; by default what the name of the file ends in")
		f.Usage = func() { fmt.Fprint(cmd.out, admin.ImportHelp); f.PrintDefaults() }
	})
	if err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("import needs exactly one FILE")
	}
	file := os.Stdin
	if name := flags.Arg(0); name != "-" {
		if file, err = os.Open(name); err != nil {
			return err
		}
		defer file.Close()
		if format == "" {
			format = name[strings.LastIndexByte(name, '.')+1:]
		}
	}
	return cmd.admins().Import(ctx, file, format, cmd.out)
}
