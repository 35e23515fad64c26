package users

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/realmgate/realmgate/pkg/apperr"
)

// adminCreate makes an admin and tells what it changed. The password is that of a file, or a
// generated one that is printed. An account that has the address becomes the admin: a verified one
// keeps its password unless there is a file; of one that was never verified nothing stays valid
// that a stranger may have, because the operator says whose address it is, not who signed up.
func adminCreate(ctx context.Context, c *core, args []string, out io.Writer) error {
	var email, file string
	if err := onlyFlags("admin create", args, out, func(f *flag.FlagSet) {
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
	a := c.adminAccounts()
	found, err := accountByEmail(ctx, a.pool, email)
	switch {
	case err == nil:
		return a.promoteExisting(ctx, found, password, file != "", out)
	case !apperr.Is(err, "USER_NOT_FOUND"):
		return err
	}
	if _, err := parseEmail(email); err != nil {
		return fmt.Errorf("-email %w", err)
	}
	made, err := a.create(ctx, creation{Email: email, Password: password, Admin: true}, methodAdmin)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "created admin %s (%s)\n", made.Username, made.ID)
	if file == "" {
		fmt.Fprintf(out, "password: %s\n", password)
	}
	return nil
}

// operatorsPassword returns the password in the file, a new one without a file.
func operatorsPassword(file string) (string, error) {
	if file == "" {
		return "Aa1-" + randomToken(), nil
	}
	content, err := os.ReadFile(file)
	return strings.TrimRight(string(content), "\r\n"), err
}

// hashForOperator returns the hash of a password that an operator gives an account, or why the
// account may not have that password.
func (a *accounts) hashForOperator(ctx context.Context, found account, password string) (string, error) {
	if err := a.rule.check(password, found.Email, found.Username, found.Alias); err != nil {
		return "", err
	}
	return a.hasher.hash(ctx, "", password)
}

// adminAccounts is the accounts domain as a command needs it.
func (c *core) adminAccounts() *accounts {
	rule := newPasswordRule(c.cfg.Passwords.DenyCommon, c.cfg.AppName)
	return &accounts{core: c, hasher: newHasher(c.cfg.Passwords), rule: rule}
}

// promoteExisting makes an account an admin.
func (a *accounts) promoteExisting(ctx context.Context, found account, password string, given bool,
	out io.Writer) error {
	if found.IsBanned {
		return fmt.Errorf("%s (%s) is banned: unban it first", found.Username, found.ID)
	}
	yes := true
	p, hash := patch{Admin: &yes, Vouched: given || !found.EmailVerified}, ""
	if p.Vouched {
		var err error
		if hash, err = a.hashForOperator(ctx, found, password); err != nil {
			return err
		}
		p.Password = &password
	}
	after, err := a.update(ctx, found.ID, p, "", hash, "", device{})
	if apperr.Is(err, "CANNOT_BAN_ADMIN") {
		return errors.New("the account was banned meanwhile")
	}
	if err != nil {
		return err
	}
	a.reportPromotion(out, after, p)
	if p.Password != nil && !given {
		fmt.Fprintf(out, "password: %s\n", password)
	}
	return nil
}

// reportPromotion prints what was changed of an account, and nothing that was not.
func (a *accounts) reportPromotion(out io.Writer, after updated, p patch) {
	name := fmt.Sprintf("%s (%s)", after.Username, after.ID)
	if after.Changed.granted {
		fmt.Fprintf(out, "promoted %s to admin\n", name)
	} else {
		fmt.Fprintf(out, "%s was an admin already\n", name)
	}
	if after.Changed.vouched {
		fmt.Fprintf(out, "its address was not verified: it counts as verified now, and whoever signed up cannot sign in\n")
	}
	if p.Password == nil {
		fmt.Fprintf(out, "nothing else of it was changed\n")
	} else {
		fmt.Fprintf(out, "set its password; revoked %s\n", after.Revoked)
	}
	if !a.cfg.Mail.On() && !after.Changed.vouched {
		fmt.Fprintf(out, "there is no mail server, so addresses count as verified unseen: make sure whose account this is\n")
	}
}
