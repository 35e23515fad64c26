package users

import (
	"context"
	"regexp"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/input"
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

// seenBy returns the user as the caller may see it.
func (u User) seenBy(caller auth.Identity) any {
	if !caller.May(auth.PermReadAccount) {
		return ReducedUser{ID: u.ID, Username: u.Username, Alias: u.Alias, PublicKey: u.PublicKey, CreatedAt: u.CreatedAt,
			UpdatedAt: u.UpdatedAt}
	}
	return u
}

const (
	maxAlias    = 100
	maxMetadata = 64 << 10 // bytes of compact JSON
	// The bounds of current_password are those of the oldest rule, so that every password that was
	// ever allowed can be given.
	minCurrentPassword = 8
)

var publicKeyPattern = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

// patch is what one PATCH or PUT asks for; nil is left as it is.
type patch struct {
	identityPatch
	Alias, PublicKey  *string
	Metadata          jsontext.Value
	Password, Current *string
	Admin, Banned     *bool
	BanReason         *string
	VaultQuota        *int64 // bytes as the database has them
	// Vouched makes the address count as verified. Until then anybody may have signed up with it,
	// so everything that opens the account is revoked, its password too unless there is a new one.
	Vouched    bool
	KeepTokens bool // with Password: the auth tokens do not end
}

func (p patch) empty() bool {
	return p.identityPatch.empty() && p.Alias == nil && p.PublicKey == nil && p.Metadata == nil && p.Password == nil &&
		p.Admin == nil && p.Banned == nil && p.VaultQuota == nil && !p.Vouched
}

// readPatch reads and checks the body of a PATCH or PUT by caller on the user id: every rule that
// needs no look at the database.
func readPatch(o *input.Object, caller auth.Identity, id string) (patch, error) {
	p := patch{
		Alias: optional(o.String("alias", 1, maxAlias)), PublicKey: optional(o.Text("public_key")),
		Password: optional(o.Text("password")),
		Admin:    optional(o.Bool("is_admin")), Banned: optional(o.Bool("is_banned")),
	}
	p.Metadata, _ = o.JSONObject("metadata", maxMetadata)
	if o.Has("current_password") {
		current := readStoredPassword(o, "current_password", minCurrentPassword)
		p.Current = &current
	}
	p.KeepTokens = !readRevokeTokens(o)
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
	if p.PublicKey != nil && !publicKeyPattern.MatchString(*p.PublicKey) {
		return p, apperr.New(apperr.Invalid, "INVALID_PUBLIC_KEY_FORMAT", "Invalid public key format")
	}
	switch {
	case p.Password == nil && o.Has("revoke_tokens"):
		return p, errTokensWithoutPassword()
	case p.Password == nil:
		return p, nil
	}
	if err := checkStrength(*p.Password); err != nil {
		return p, err
	}
	if p.Current == nil && caller.UserID == id {
		return p, errPasswordRequired("Current password is required for password changes")
	}
	return p, nil
}

// optional turns the two results of an input getter into a pointer, nil when the field was not
// there.
func optional[T any](v T, ok bool) *T {
	if !ok {
		return nil
	}
	return &v
}

func errUserNotFound() *apperr.Error {
	return apperr.New(apperr.NotFound, "USER_NOT_FOUND", "User not found")
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

// account is a user with what is not shown.
type account struct {
	User
	EmailKey     string
	PasswordHash string
	VaultQuota   int64
	BanReason    *string
	BannedAt     *time.Time
	Welcomed     bool
}

// flagChange says what a patch does to the flags of an account.
type flagChange struct {
	admin, banned          bool // afterwards
	granted, revoked       bool
	vouched                bool // the address counts as verified from now on
	bannedNow, unbannedNow bool
}

// flags decides what p makes of the account's flags. An account that is an admin, or would be one,
// is never banned in the same step. One whose address was never verified does not become an admin:
// its password may be a stranger's.
func (p patch) flags(a account) (flagChange, error) {
	f := flagChange{admin: a.IsAdmin, banned: a.IsBanned}
	if p.Admin != nil {
		f.admin = *p.Admin
	}
	if p.Banned != nil {
		f.banned = *p.Banned
	}
	if f.banned && (f.admin || a.IsAdmin) {
		return f, errCannotBanAdmin()
	}
	f.vouched = p.Vouched && !a.EmailVerified
	f.granted, f.revoked = f.admin && !a.IsAdmin, !f.admin && a.IsAdmin
	f.bannedNow, f.unbannedNow = f.banned && !a.IsBanned, !f.banned && a.IsBanned
	if f.granted && !a.EmailVerified && !f.vouched {
		return f, errAccountNotVerified()
	}
	return f, nil
}

// events lists what the change is called in the security history.
func (f flagChange) events() []string {
	var out []string
	for _, e := range []struct {
		happened bool
		name     string
	}{{f.vouched, eventEmailVerified}, {f.granted, eventAdminGranted}, {f.revoked, eventAdminRevoked},
		{f.bannedNow, eventBanned}, {f.unbannedNow, eventUnbanned}} {
		if e.happened {
			out = append(out, e.name)
		}
	}
	return out
}

// userFilter says which users to list; nil flags do not filter.
type userFilter struct {
	Search        string // found literally in name, address, alias or id, ignoring case
	Admin, Banned *bool
	Page, Limit   int
}

// How an account came to be.
const (
	methodEmail  = "email" // signed up
	methodAdmin  = "admin"
	methodImport = "import"
)

// newAccount is what an account is made of.
type newAccount struct {
	Email, PasswordHash, Alias string
	Username                   string // "": made from the address
	Method                     string
	Region, Client             *string
	Metadata                   jsontext.Value // nil: {}
	Admin, Verified            bool
	Invited, CodeFailed        bool
	At                         time.Time
}

// accounts is the domain of accounts: profiles, and every change of them.
type accounts struct {
	*core
	hasher   *hasher
	throttle *throttle
	rule     passwordRule
}

// firstAlias is the local part of the address, cut to what an alias may be.
func firstAlias(email string) string {
	local, _, _ := strings.Cut(email, "@")
	if r := []rune(local); len(r) > maxAlias {
		local = string(r[:maxAlias])
	}
	return local
}

func newAccounts(throttle *throttle, rule passwordRule) *accounts {
	return &accounts{core: throttle.core, hasher: throttle.hasher, throttle: throttle, rule: rule}
}

// change checks the current password when one is asked for and applies p to the user id. by is from
// where it is done, as the user may know it.
func (a *accounts) change(ctx context.Context, caller auth.Identity, id string, p patch, by device) (updated, error) {
	var checkedHash, newHash string
	if p.Password != nil {
		target, err := accountByID(ctx, a.pool, id)
		if err != nil {
			return updated{}, err
		}
		if err := a.rule.check(*p.Password, target.Email, target.Username, target.Alias); err != nil {
			return updated{}, err
		}
		if caller.UserID == id {
			if checkedHash, err = a.confirm(ctx, id, *p.Current, by); err != nil {
				return updated{}, err
			}
		}
		if newHash, err = a.hasher.hash(ctx, by.Address, *p.Password); err != nil {
			return updated{}, err
		}
	}
	keep := ""
	if caller.UserID == id {
		keep = caller.SessionID
	}
	return a.update(ctx, id, p, checkedHash, newHash, keep, by)
}
