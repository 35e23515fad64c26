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

// CreateOrPromote creates an admin, or makes the account with the address one, and reports on out
// what it changed.
//
// passwordGiven tells whether the operator chose the password; a generated one is printed if it is
// used. An existing account with a verified address keeps its own password unless passwordGiven. An
// account whose address was never verified always gets the password and loses all access of before:
// the operator knows the owner of the address, but not who signed up with it.
func (s *Service) CreateOrPromote(ctx context.Context, email, password string, passwordGiven bool,
	out io.Writer) error {
	user, err := account.ByEmail(ctx, s.Pool, email)
	switch {
	case err == nil:
		return s.promoteExisting(ctx, user, password, passwordGiven, out)
	case !apperr.Is(err, "USER_NOT_FOUND"):
		return err
	}
	if _, err := mailaddr.Parse(email); err != nil {
		return fmt.Errorf("-email %w", err)
	}
	created, err := s.createAccount(ctx, newUser{Email: email, Password: password, Admin: true}, account.MethodAdmin)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "created admin %s (%s)\n", created.Username, created.ID)
	if !passwordGiven {
		fmt.Fprintf(out, "password: %s\n", password)
	}
	return nil
}

// SetPassword sets the password of an account for an operator, and revokes all access of before.
func (s *Service) SetPassword(ctx context.Context, user account.Account, password string) error {
	_, err := s.setPassword(ctx, user, password, "", false)
	return err
}

// setPassword sets the password of an account, ends its sessions, deletes its auth tokens unless
// keepTokens is true, and marks its address as verified. An account whose address was not verified
// loses all access of before. address is that of the client, "" for a command.
func (s *Service) setPassword(ctx context.Context, user account.Account, password, address string,
	keepTokens bool) (account.Updated, error) {
	hash, err := s.hashForOperator(ctx, user, password, address)
	if err != nil {
		return account.Updated{}, err
	}
	patch := account.Patch{Password: &password, ForceEmailVerified: true, KeepTokens: keepTokens}
	return s.accounts.Update(ctx, user.ID, patch, "", hash, "", request.Device{})
}

// hashForOperator returns the hash of a password, or an error when the policy refuses it for this
// account.
func (s *Service) hashForOperator(ctx context.Context, user account.Account, password, address string) (string, error) {
	if err := s.policy.Check(password, user.Email, user.Username, user.Alias); err != nil {
		return "", err
	}
	return s.hasher.Hash(ctx, address, password)
}

// promoteExisting makes an existing account an admin, see CreateOrPromote.
func (s *Service) promoteExisting(ctx context.Context, user account.Account, password string, passwordGiven bool,
	out io.Writer) error {
	if user.IsBanned {
		return fmt.Errorf("%s (%s) is banned: unban it first", user.Username, user.ID)
	}
	isAdmin := true
	patch, hash := account.Patch{Admin: &isAdmin, ForceEmailVerified: passwordGiven || !user.EmailVerified}, ""
	if patch.ForceEmailVerified {
		var err error
		if hash, err = s.hashForOperator(ctx, user, password, ""); err != nil {
			return err
		}
		patch.Password = &password
	}
	updated, err := s.accounts.Update(ctx, user.ID, patch, "", hash, "", request.Device{})
	if apperr.Is(err, "CANNOT_BAN_ADMIN") {
		return errors.New("the account was banned meanwhile")
	}
	if err != nil {
		return err
	}
	s.reportPromotion(out, updated, patch)
	if patch.Password != nil && !passwordGiven {
		fmt.Fprintf(out, "password: %s\n", password)
	}
	return nil
}

// reportPromotion prints which properties of an account were changed.
func (s *Service) reportPromotion(out io.Writer, updated account.Updated, patch account.Patch) {
	name := fmt.Sprintf("%s (%s)", updated.Username, updated.ID)
	if updated.Changed.AdminGranted {
		fmt.Fprintf(out, "promoted %s to admin\n", name)
	} else {
		fmt.Fprintf(out, "%s was an admin already\n", name)
	}
	if updated.Changed.EmailVerified {
		fmt.Fprintf(out, "its address was not verified: it counts as verified now, and whoever signed up cannot sign in\n")
	}
	if patch.Password == nil {
		fmt.Fprintf(out, "nothing else of it was changed\n")
	} else {
		fmt.Fprintf(out, "set its password; revoked %s\n", updated.Revoked)
	}
	if !s.mailEnabled && !updated.Changed.EmailVerified {
		fmt.Fprintf(out, "there is no mail server, so addresses count as verified unseen: make sure whose account this is\n")
	}
}
