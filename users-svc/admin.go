package users

import (
	"context"
	"regexp"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/pkg/quota"
)

// administration is the domain of what admins do with other people's accounts.
type administration struct {
	*core
	accounts *accounts
	sessions *sessions
	history  *history
	hasher   *hasher
	rule     passwordRule
	mailOn   bool // without a mail server addresses count as verified unseen
}

func newAdministration(accounts *accounts, sessions *sessions, history *history, rule passwordRule,
	mailOn bool) *administration {
	return &administration{core: accounts.core, accounts: accounts, sessions: sessions, history: history,
		hasher: accounts.hasher, rule: rule, mailOn: mailOn}
}

const (
	maxBanReason = 500
	mebibyte     = 1 << 20
	maxQuotaMB   = 1 << 20
)

var usernamePattern = regexp.MustCompile(`^[a-zA-Z0-9_-]{3,50}$`)

// creation is an account that an admin asks for.
type creation struct {
	Email, Password string
	Username, Alias *string
	Admin           bool
	Address         string // from where the admin asks; "" for a command
}

func readCreation(o *input.Object) (creation, error) {
	o.DropNull("username", "alias", "is_admin")
	in := creation{Email: readEmail(o, "email"), Username: readUsername(o),
		Alias: optional(o.String("alias", 1, maxAlias))}
	in.Admin, _ = o.Bool("is_admin")
	if !o.Has("password") {
		o.Fail("password", "is required")
	}
	in.Password, _ = o.Text("password")
	if err := o.Err(); err != nil {
		return in, err
	}
	return in, checkStrength(in.Password)
}

func errEmailTaken() *apperr.Error {
	return apperr.New(apperr.Conflict, "EMAIL_TAKEN", "A user with this email already exists")
}

func errUsernameTaken() *apperr.Error {
	return apperr.New(apperr.Conflict, "USERNAME_TAKEN", "A user with this username already exists")
}

// create makes a verified account. method says how it came to be.
func (a *administration) createAccount(ctx context.Context, in creation, method string) (User, error) {
	n := newAccount{Email: in.Email, Alias: firstAlias(in.Email), Method: method, Admin: in.Admin, Verified: true,
		At: a.now()}
	if in.Alias != nil {
		n.Alias = *in.Alias
	}
	if in.Username != nil {
		n.Username = *in.Username
	}
	if err := a.rule.check(in.Password, n.Email, n.Username, n.Alias); err != nil {
		return User{}, err
	}
	var err error
	if n.PasswordHash, err = a.hasher.hash(ctx, in.Address, in.Password); err != nil {
		return User{}, err
	}
	userID, created, err := insertAccount(ctx, a.pool, n)
	if err != nil {
		return User{}, err
	}
	if !created {
		return User{}, errEmailTaken()
	}
	found, err := accountByID(ctx, a.pool, userID)
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
