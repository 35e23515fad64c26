package admin

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/mailaddr"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// CreateOrPromote creates an admin and writes to out what it changed. given tells whether the
// operator chose the password; otherwise it is printed where it is set. An account that has the
// address becomes an admin: a verified one keeps its password unless one is given; of one that was
// never verified nothing stays valid that a stranger may have, because the operator knows whose
// address it is, and not who signed up with it.
func (a *Service) CreateOrPromote(ctx context.Context, email, candidate string, given bool, out io.Writer) error {
	found, err := account.ByEmail(ctx, a.Pool, email)
	switch {
	case err == nil:
		return a.promoteExisting(ctx, found, candidate, given, out)
	case !apperr.Is(err, "USER_NOT_FOUND"):
		return err
	}
	if _, err := mailaddr.Parse(email); err != nil {
		return fmt.Errorf("-email %w", err)
	}
	made, err := a.createAccount(ctx, newUser{Email: email, Password: candidate, Admin: true}, account.MethodAdmin)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "created admin %s (%s)\n", made.Username, made.ID)
	if !given {
		fmt.Fprintf(out, "password: %s\n", candidate)
	}
	return nil
}

// SetPassword gives an account the password that an operator chose, and revokes all access of
// before.
func (a *Service) SetPassword(ctx context.Context, found account.Account, candidate string) error {
	hash, err := a.hashForOperator(ctx, found, candidate)
	if err != nil {
		return err
	}
	_, err = a.accounts.Update(ctx, found.ID, account.Patch{Password: &candidate, EmailVouched: true}, "", hash, "",
		request.Device{})
	return err
}

// hashForOperator returns the hash of a password that an operator gives an account, or why the
// account may not have that password.
func (a *Service) hashForOperator(ctx context.Context, found account.Account, password string) (string, error) {
	if err := a.rule.Check(password, found.Email, found.Username, found.Alias); err != nil {
		return "", err
	}
	return a.hasher.Hash(ctx, "", password)
}

// promoteExisting makes an account an admin.
func (a *Service) promoteExisting(ctx context.Context, found account.Account, password string, given bool,
	out io.Writer) error {
	if found.IsBanned {
		return fmt.Errorf("%s (%s) is banned: unban it first", found.Username, found.ID)
	}
	yes := true
	p, hash := account.Patch{Admin: &yes, EmailVouched: given || !found.EmailVerified}, ""
	if p.EmailVouched {
		var err error
		if hash, err = a.hashForOperator(ctx, found, password); err != nil {
			return err
		}
		p.Password = &password
	}
	after, err := a.accounts.Update(ctx, found.ID, p, "", hash, "", request.Device{})
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
func (a *Service) reportPromotion(out io.Writer, after account.Updated, p account.Patch) {
	name := fmt.Sprintf("%s (%s)", after.Username, after.ID)
	if after.Changed.Granted {
		fmt.Fprintf(out, "promoted %s to admin\n", name)
	} else {
		fmt.Fprintf(out, "%s was an admin already\n", name)
	}
	if after.Changed.Vouched {
		fmt.Fprintf(out, "its address was not verified: it counts as verified now, and whoever signed up cannot sign in\n")
	}
	if p.Password == nil {
		fmt.Fprintf(out, "nothing else of it was changed\n")
	} else {
		fmt.Fprintf(out, "set its password; revoked %s\n", after.Revoked)
	}
	if !a.mailOn && !after.Changed.Vouched {
		fmt.Fprintf(out, "there is no mail server, so addresses count as verified unseen: make sure whose account this is\n")
	}
}
