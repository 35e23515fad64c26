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
	accounts    *account.Service
	sessions    *session.Service
	history     *history.Service
	hasher      *passwords.Hasher
	policy      passwords.Policy
	mailEnabled bool // without a mail server addresses count as verified unseen
}

func New(accounts *account.Service, sessions *session.Service, history *history.Service, policy passwords.Policy,
	mailOn bool) *Service {
	return &Service{Core: accounts.Core, accounts: accounts, sessions: sessions, history: history,
		hasher: accounts.Hasher, policy: policy, mailEnabled: mailOn}
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

func readNewUser(body *input.Object) (newUser, error) {
	body.DropNull("username", "alias", "is_admin")
	in := newUser{Email: mailaddr.Field(body, "email"), Username: account.UsernameField(body),
		Alias: field.Optional(body.String("alias", 1, account.MaxAlias))}
	in.Admin, _ = body.Bool("is_admin")
	if !body.Has("password") {
		body.Fail("password", "is required")
	}
	in.Password, _ = body.Text("password")
	if err := body.Err(); err != nil {
		return in, err
	}
	return in, passwords.CheckStrength(in.Password)
}

// create makes a verified account. method says how it came to be.
func (s *Service) createAccount(ctx context.Context, in newUser, method string) (account.User, error) {
	draft := account.Draft{Email: in.Email, Alias: account.DefaultAlias(in.Email), Method: method, Admin: in.Admin,
		Verified:  true,
		CreatedAt: s.Now()}
	if in.Alias != nil {
		draft.Alias = *in.Alias
	}
	if in.Username != nil {
		draft.Username = *in.Username
	}
	if err := s.policy.Check(in.Password, draft.Email, draft.Username, draft.Alias); err != nil {
		return account.User{}, err
	}
	var err error
	if draft.PasswordHash, err = s.hasher.Hash(ctx, in.Address, in.Password); err != nil {
		return account.User{}, err
	}
	userID, created, err := account.Insert(ctx, s.Pool, draft)
	if err != nil {
		return account.User{}, err
	}
	if !created {
		return account.User{}, account.ErrEmailTaken()
	}
	user, err := account.ByID(ctx, s.Pool, userID)
	return user.User, err
}

// Quota is how much a user may keep in the vault.
type quotaAnswer struct {
	LimitMB *int64 `json:"limit_mb"` // mebibytes over all realms; nil: the default of vault-svc
}

// readQuota returns the quota in the bytes that the database keeps.
func readQuota(body *input.Object) (quotaAnswer, int64, error) {
	if !body.Has("limit_mb") {
		body.Fail("limit_mb", "is required")
	}
	if body.IsNull("limit_mb") {
		return quotaAnswer{}, 0, body.Err()
	}
	mb, ok := body.Int("limit_mb", 0, maxQuotaMB)
	if !ok {
		return quotaAnswer{}, 0, body.Err()
	}
	return quotaAnswer{LimitMB: &mb}, max(quota.NothingStored, mb*mebibyte), nil
}
