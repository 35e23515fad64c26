package users

import (
	"context"
	"flag"
	"fmt"
	"io"
)

// adminPassword gives an admin a new password, from a file or one that it prints, and ends the
// admin's sessions.
func adminPassword(ctx context.Context, c *core, args []string, out io.Writer) error {
	var email, file string
	if err := onlyFlags("admin password", args, out, func(f *flag.FlagSet) {
		f.StringVar(&email, "email", "", "address of the admin; without it there must be only one")
		f.StringVar(&file, "password-file", "", "file with the password; without it one is made and printed")
	}); err != nil {
		return err
	}
	found, err := c.chosenAdmin(ctx, email)
	if err != nil {
		return err
	}
	password, err := operatorsPassword(file)
	if err != nil {
		return err
	}
	a := c.adminAccounts()
	hash, err := a.hashForOperator(ctx, found, password)
	if err != nil {
		return err
	}
	if _, err := a.update(ctx, found.ID, patch{Password: &password, Vouched: true}, "", hash, "", device{}); err != nil {
		return err
	}
	fmt.Fprintf(out, "the admin %s (%s) has a new password; the sessions of before have ended\n", found.Email, found.ID)
	if file == "" {
		fmt.Fprintf(out, "password: %s\n", password)
	}
	return nil
}
