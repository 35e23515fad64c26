// Package account provides the accounts: their profiles, every change of them, and all SQL over
// their columns. It serves /users/me and /users/{id}. Start reading at Account and Service.Update.
package account

import (
	"context"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/users-svc/internal/apitoken"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/passwords"
	"github.com/realmgate/realmgate/users-svc/internal/request"
	"github.com/realmgate/realmgate/users-svc/internal/throttle"
)

// User is an account as its owner and admins see it.
type User struct {
	ID            string         `json:"id"`
	Username      string         `json:"username"`
	Email         string         `json:"email"`
	Alias         string         `json:"alias"`
	PublicKey     *string        `json:"public_key"`
	Metadata      jsontext.Value `json:"metadata"`
	IsAdmin       bool           `json:"is_admin"`
	IsBanned      bool           `json:"is_banned"`
	EmailVerified bool           `json:"email_verified"`
	AvatarURL     *string        `json:"avatar_url"`
	SignupMethod  string         `json:"signup_method"`
	CreatedAt     api.Time       `json:"created_at"`
	UpdatedAt     api.Time       `json:"updated_at"`
}

// ReducedUser is what an auth token without the permission resources.read_account sees of its user.
type ReducedUser struct {
	ID        string   `json:"id"`
	Username  string   `json:"username"`
	Alias     string   `json:"alias"`
	PublicKey *string  `json:"public_key"`
	CreatedAt api.Time `json:"created_at"`
	UpdatedAt api.Time `json:"updated_at"`
}

// VisibleTo returns the user as the caller may see it.
func (u User) VisibleTo(caller auth.Identity) any {
	if !caller.May(auth.PermReadAccount) {
		return ReducedUser{ID: u.ID, Username: u.Username, Alias: u.Alias, PublicKey: u.PublicKey, CreatedAt: u.CreatedAt,
			UpdatedAt: u.UpdatedAt}
	}
	return u
}

const MaxAlias = 100

const MaxMetadata = 64 << 10 // bytes of compact JSON

// Patch is what one PATCH or PUT asks for; nil is left as it is.
type Patch struct {
	identityPatch
	Alias, PublicKey  *string
	Metadata          jsontext.Value
	Password, Current *string
	Admin, Banned     *bool
	BanReason         *string
	VaultQuota        *int64 // bytes as the database has them
	// EmailVouched makes the address count as verified. Until then anybody may have signed up with
	// it, so everything that opens the account is revoked, its password too unless there is a new
	// one.
	EmailVouched bool
	KeepTokens   bool // with Password: the auth tokens do not end
}

func (p Patch) empty() bool {
	return p.identityPatch.empty() && p.Alias == nil && p.PublicKey == nil && p.Metadata == nil && p.Password == nil &&
		p.Admin == nil && p.Banned == nil && p.VaultQuota == nil && !p.EmailVouched
}

// readPatch reads and checks the body of a PATCH or PUT by caller on the user id: every rule that
// needs no look at the database.
func readPatch(o *input.Object, caller auth.Identity, id string) (Patch, error) {
	p := Patch{
		Alias: field.Optional(o.String("alias", 1, MaxAlias)), PublicKey: field.Optional(o.Text("public_key")),
		Password: field.Optional(o.Text("password")),
		Admin:    field.Optional(o.Bool("is_admin")), Banned: field.Optional(o.Bool("is_banned")),
	}
	p.Metadata, _ = o.JSONObject("metadata", MaxMetadata)
	if o.Has("current_password") {
		current := field.StoredPassword(o, "current_password", field.MinCurrentPassword)
		p.Current = &current
	}
	p.KeepTokens = !field.RevokeTokens(o)
	p.identityPatch = readIdentity(o)
	if err := o.Err(); err != nil {
		return p, err
	}
	if err := p.allowed(caller); err != nil {
		return p, err
	}
	if (p.Admin != nil || p.Banned != nil) && !caller.Admin || p.Password != nil && caller.Kind != auth.Session {
		return p, apperr.InsufficientPermissions()
	}
	if p.PublicKey != nil && !field.ValidPublicKey(*p.PublicKey) {
		return p, apperr.New(apperr.Invalid, "INVALID_PUBLIC_KEY_FORMAT", "Invalid public key format")
	}
	switch {
	case p.Password == nil && o.Has("revoke_tokens"):
		return p, apitoken.TokensWithoutPassword()
	case p.Password == nil:
		return p, nil
	}
	if err := passwords.CheckStrength(*p.Password); err != nil {
		return p, err
	}
	if p.Current == nil && caller.UserID == id {
		return p, field.PasswordRequired("Current password is required for password changes")
	}
	return p, nil
}

func errCannotModifyOther() *apperr.Error {
	return apperr.New(apperr.Forbidden, "CANNOT_MODIFY_OTHER_USER", "You can only update your own profile")
}

func errCannotBanAdmin() *apperr.Error {
	return apperr.New(apperr.Forbidden, "CANNOT_BAN_ADMIN", "Cannot ban admin users")
}

func errLastAdmin() *apperr.Error {
	return apperr.New(apperr.Conflict, "LAST_ADMIN", "The last admin cannot be demoted")
}

func errAccountNotVerified() *apperr.Error {
	return apperr.New(apperr.Conflict, "ACCOUNT_NOT_VERIFIED",
		"The e-mail address of this account was never verified: whoever signed up with it may not own it")
}

func errWrongPassword() *apperr.Error {
	return apperr.New(apperr.Invalid, "CURRENT_PASSWORD_INCORRECT", "Current password is incorrect")
}

// Account is a user with what is not shown.
type Account struct {
	User
	EmailKey     string
	PasswordHash string
	VaultQuota   int64
	BanReason    *string
	BannedAt     *time.Time
	Welcomed     bool
}

// flagChanges says what a patch does to the flags of an account.
type flagChanges struct {
	admin, banned          bool // afterwards
	Granted, revoked       bool
	Vouched                bool // the address counts as verified from now on
	bannedNow, unbannedNow bool
}

// flags decides what p makes of the account's flags. An account that is an admin, or would be one,
// is never banned in the same step. One whose address was never verified does not become an admin:
// its password may be a stranger's.
func (p Patch) flags(a Account) (flagChanges, error) {
	f := flagChanges{admin: a.IsAdmin, banned: a.IsBanned}
	if p.Admin != nil {
		f.admin = *p.Admin
	}
	if p.Banned != nil {
		f.banned = *p.Banned
	}
	if f.banned && (f.admin || a.IsAdmin) {
		return f, errCannotBanAdmin()
	}
	f.Vouched = p.EmailVouched && !a.EmailVerified
	f.Granted, f.revoked = f.admin && !a.IsAdmin, !f.admin && a.IsAdmin
	f.bannedNow, f.unbannedNow = f.banned && !a.IsBanned, !f.banned && a.IsBanned
	if f.Granted && !a.EmailVerified && !f.Vouched {
		return f, errAccountNotVerified()
	}
	return f, nil
}

// events lists what the change is called in the security history.
func (f flagChanges) events() []string {
	var out []string
	for _, e := range []struct {
		happened bool
		name     string
	}{{f.Vouched, history.EmailVerified}, {f.Granted, history.AdminGranted}, {f.revoked, history.AdminRevoked},
		{f.bannedNow, history.Banned}, {f.unbannedNow, history.Unbanned}} {
		if e.happened {
			out = append(out, e.name)
		}
	}
	return out
}

// Filter says which users to list; nil flags do not filter.
type Filter struct {
	Search        string // found literally in name, address, alias or id, ignoring case
	Admin, Banned *bool
	Page, Limit   int
}

// How an account came to be.
const (
	MethodEmail  = "email" // signed up
	MethodAdmin  = "admin"
	MethodImport = "import"
)

// Service is the domain of accounts: profiles, and every change of them.
type Service struct {
	*core.Core
	Hasher   *passwords.Hasher
	throttle *throttle.Throttle
	rule     passwords.Policy
}

// DefaultAlias is the local part of the address, cut to what an alias may be.
func DefaultAlias(email string) string {
	local, _, _ := strings.Cut(email, "@")
	if r := []rune(local); len(r) > MaxAlias {
		local = string(r[:MaxAlias])
	}
	return local
}

func New(throttle *throttle.Throttle, rule passwords.Policy) *Service {
	return &Service{Core: throttle.Core, Hasher: throttle.Hasher, throttle: throttle, rule: rule}
}

// updateProfile checks the current password when one is asked for and applies p to the user id. by
// is from where it is done, as the user may know it.
func (a *Service) updateProfile(ctx context.Context, caller auth.Identity, id string, p Patch,
	by request.Device) (Updated, error) {
	var checkedHash, newHash string
	if p.Password != nil {
		target, err := ByID(ctx, a.Pool, id)
		if err != nil {
			return Updated{}, err
		}
		if err := a.rule.Check(*p.Password, target.Email, target.Username, target.Alias); err != nil {
			return Updated{}, err
		}
		if caller.UserID == id {
			if checkedHash, err = a.VerifyPassword(ctx, id, *p.Current, by); err != nil {
				return Updated{}, err
			}
		}
		if newHash, err = a.Hasher.Hash(ctx, by.Address, *p.Password); err != nil {
			return Updated{}, err
		}
	}
	keep := ""
	if caller.UserID == id {
		keep = caller.SessionID
	}
	return a.Update(ctx, id, p, checkedHash, newHash, keep, by)
}
