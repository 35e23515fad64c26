package users

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/realmgate/realmgate/pkg/apperr"
)

// CreateOrPromote creates an admin and writes to out what it changed. given tells whether the operator
// chose the password; otherwise it is printed where it is set. An account that has the address becomes
// an admin: a verified one keeps its password unless one is given; of one that was never verified
// nothing stays valid that a stranger may have, because the operator knows whose address it is, and not
// who signed up with it.
func (a *administration) CreateOrPromote(ctx context.Context, email, candidate string, given bool, out io.Writer) error {
	found, err := accountByEmail(ctx, a.pool, email)
	switch {
	case err == nil:
		return a.promoteExisting(ctx, found, candidate, given, out)
	case !apperr.Is(err, "USER_NOT_FOUND"):
		return err
	}
	if _, err := parseEmail(email); err != nil {
		return fmt.Errorf("-email %w", err)
	}
	made, err := a.createAccount(ctx, creation{Email: email, Password: candidate, Admin: true}, methodAdmin)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "created admin %s (%s)\n", made.Username, made.ID)
	if !given {
		fmt.Fprintf(out, "password: %s\n", candidate)
	}
	return nil
}

// SetPassword gives an account the password that an operator chose, and revokes all access of before.
func (a *administration) SetPassword(ctx context.Context, found account, candidate string) error {
	hash, err := a.hashForOperator(ctx, found, candidate)
	if err != nil {
		return err
	}
	_, err = a.accounts.update(ctx, found.ID, patch{Password: &candidate, Vouched: true}, "", hash, "", device{})
	return err
}

// hashForOperator returns the hash of a password that an operator gives an account, or why the
// account may not have that password.
func (a *administration) hashForOperator(ctx context.Context, found account, password string) (string, error) {
	if err := a.rule.check(password, found.Email, found.Username, found.Alias); err != nil {
		return "", err
	}
	return a.hasher.hash(ctx, "", password)
}

// promoteExisting makes an account an admin.
func (a *administration) promoteExisting(ctx context.Context, found account, password string, given bool,
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
	after, err := a.accounts.update(ctx, found.ID, p, "", hash, "", device{})
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
func (a *administration) reportPromotion(out io.Writer, after updated, p patch) {
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
	if !a.mailOn && !after.Changed.vouched {
		fmt.Fprintf(out, "there is no mail server, so addresses count as verified unseen: make sure whose account this is\n")
	}
}
