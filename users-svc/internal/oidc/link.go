package oidc

import (
	"context"

	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/mailaddr"
	"github.com/realmgate/realmgate/users-svc/internal/request"
	"github.com/realmgate/realmgate/users-svc/internal/secrets"
)

// link is a user at a provider who may be linked to an account after its password was entered.
type link struct {
	UserID, Provider string
	claims
	Client *string
}

// link verifies the password of the account, as a login does, links the user at the provider to it,
// and opens a session. When the provider has verified the account's own address, the address counts
// as verified from then on: the person has both the mailbox and the password.
func (s *Service) link(ctx context.Context, token, password string, device request.Device) (any, error) {
	hash := secrets.HashToken(token)
	pending, err := s.findLink(ctx, hash)
	if err != nil {
		return nil, err
	}
	device.Client = pending.Client
	user, err := account.ByID(ctx, s.Pool, pending.UserID)
	if err != nil {
		return nil, err
	}
	verified, err := s.signIns.VerifyLogin(ctx, user.Email, password, device)
	if err != nil {
		return nil, err
	}
	if verified.User.ID != pending.UserID { // the address moved to another account meanwhile
		return nil, errInvalidLinkToken()
	}
	if verified.User.EmailVerified, err = s.storeLink(ctx, hash, pending, verified.User, device); err != nil {
		return nil, err
	}
	return s.signIns.FinishLogin(ctx, verified, device)
}

// verifies reports whether the provider verified the address of the account.
func (l link) verifies(user account.Account) bool {
	return l.EmailVerified && mailaddr.KeysOf(l.Email).Primary == mailaddr.KeysOf(user.Email).Primary
}
