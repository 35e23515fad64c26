// Package admin provides what admins and operators do with accounts: create, list, ban, log out, set
// quotas, promote and import. It serves the routes below /users that need an admin. Start reading at
// Service.
package admin

import (
	"context"

	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/pkg/quota"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/mailaddr"
	"github.com/realmgate/realmgate/users-svc/internal/passwords"
	"github.com/realmgate/realmgate/users-svc/internal/session"
)

// Service is the domain of what admins do with other people's accounts.
type Service struct {
	*core.Core
	accounts *account.Service
	sessions *session.Service
	history  *history.Service
	hasher   *passwords.Hasher
	rule     passwords.Policy
	mailOn   bool // without a mail server addresses count as verified unseen
}

func New(accounts *account.Service, sessions *session.Service, history *history.Service, rule passwords.Policy,
	mailOn bool) *Service {
	return &Service{Core: accounts.Core, accounts: accounts, sessions: sessions, history: history,
		hasher: accounts.Hasher, rule: rule, mailOn: mailOn}
}

const (
	maxBanReason = 500
	mebibyte     = 1 << 20
	maxQuotaMB   = 1 << 20
)

// newUser is an account that an admin asks for.
type newUser struct {
	Email, Password string
	Username, Alias *string
	Admin           bool
	Address         string // from where the admin asks; "" for a command
}

func readNewUser(o *input.Object) (newUser, error) {
	o.DropNull("username", "alias", "is_admin")
	in := newUser{Email: mailaddr.Field(o, "email"), Username: account.UsernameField(o),
		Alias: field.Optional(o.String("alias", 1, account.MaxAlias))}
	in.Admin, _ = o.Bool("is_admin")
	if !o.Has("password") {
		o.Fail("password", "is required")
	}
	in.Password, _ = o.Text("password")
	if err := o.Err(); err != nil {
		return in, err
	}
	return in, passwords.CheckStrength(in.Password)
}

// create makes a verified account. method says how it came to be.
func (a *Service) createAccount(ctx context.Context, in newUser, method string) (account.User, error) {
	n := account.Draft{Email: in.Email, Alias: account.DefaultAlias(in.Email), Method: method, Admin: in.Admin,
		Verified: true,
		At:       a.Now()}
	if in.Alias != nil {
		n.Alias = *in.Alias
	}
	if in.Username != nil {
		n.Username = *in.Username
	}
	if err := a.rule.Check(in.Password, n.Email, n.Username, n.Alias); err != nil {
		return account.User{}, err
	}
	var err error
	if n.PasswordHash, err = a.hasher.Hash(ctx, in.Address, in.Password); err != nil {
		return account.User{}, err
	}
	userID, created, err := account.Insert(ctx, a.Pool, n)
	if err != nil {
		return account.User{}, err
	}
	if !created {
		return account.User{}, account.ErrEmailTaken()
	}
	found, err := account.ByID(ctx, a.Pool, userID)
	return found.User, err
}

// Quota is how much a user may keep in the vault.
type Quota struct {
	LimitMB *int64 `json:"limit_mb"` // mebibytes over all realms; nil: the default of vault-svc
}

// readQuota returns the quota in the bytes that the database keeps.
func readQuota(o *input.Object) (Quota, int64, error) {
	if !o.Has("limit_mb") {
		o.Fail("limit_mb", "is required")
	}
	if o.IsNull("limit_mb") {
		return Quota{}, 0, o.Err()
	}
	mb, ok := o.Int("limit_mb", 0, maxQuotaMB)
	if !ok {
		return Quota{}, 0, o.Err()
	}
	return Quota{LimitMB: &mb}, max(quota.NothingStored, mb*mebibyte), nil
}
