package users

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/realmgate/realmgate/users-svc/internal/secrets"
)

// adminCreate runs "admin create": it creates an admin, or promotes the account with the address,
// and prints the changes.
func adminCreate(ctx context.Context, cmd *command, args []string) error {
	var email, file string
	if err := onlyFlags("admin create", args, cmd.out, func(f *flag.FlagSet) {
		f.StringVar(&email, "email", "", "address of the admin")
		f.StringVar(&file, "password-file", "",
			"file with the password; without it one is generated and printed where one is needed")
	}); err != nil {
		return err
	}
	password, err := operatorsPassword(file)
	if err != nil {
		return err
	}
	return cmd.admins().CreateOrPromote(ctx, email, password, file != "", cmd.out)
}

// adminPassword runs "admin password": it sets a new password for an admin, from a file or
// generated and printed, and ends the admin's sessions.
func adminPassword(ctx context.Context, cmd *command, args []string) error {
	var email, file string
	if err := onlyFlags("admin password", args, cmd.out, func(f *flag.FlagSet) {
		f.StringVar(&email, "email", "", "address of the admin; without it there must be only one")
		f.StringVar(&file, "password-file", "", "file with the password; without it one is made and printed")
	}); err != nil {
		return err
	}
	admins := cmd.admins()
	user, err := admins.ChosenAdmin(ctx, email)
	if err != nil {
		return err
	}
	password, err := operatorsPassword(file)
	if err != nil {
		return err
	}
	if err := admins.SetPassword(ctx, user, password); err != nil {
		return err
	}
	fmt.Fprintf(cmd.out, "the admin %s (%s) has a new password; the sessions of before have ended\n", user.Email,
		user.ID)
	if file == "" {
		fmt.Fprintf(cmd.out, "password: %s\n", password)
	}
	return nil
}

// operatorsPassword returns the password in the file, or a generated one without a file.
func operatorsPassword(file string) (string, error) {
	if file == "" {
		return "Aa1-" + secrets.NewToken(), nil
	}
	content, err := os.ReadFile(file)
	return strings.TrimRight(string(content), "\r\n"), err
}
