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
type reducedUser struct {
	ID        string   `json:"id"`
	Username  string   `json:"username"`
	Alias     string   `json:"alias"`
	PublicKey *string  `json:"public_key"`
	CreatedAt api.Time `json:"created_at"`
	UpdatedAt api.Time `json:"updated_at"`
}

// VisibleTo returns the user as the caller may see it.
func (u User) visibleTo(caller auth.Identity) any {
	if !caller.May(auth.PermReadAccount) {
		return reducedUser{ID: u.ID, Username: u.Username, Alias: u.Alias, PublicKey: u.PublicKey, CreatedAt: u.CreatedAt,
			UpdatedAt: u.UpdatedAt}
	}
	return u
}

const MaxAlias = 100

const MaxMetadata = 64 << 10 // bytes of compact JSON

// Patch is what one PATCH or PUT asks for; nil is left as it is.
type Patch struct {
	identityPatch
	Alias, PublicKey          *string
	Metadata                  jsontext.Value
	Password, CurrentPassword *string
	Admin, Banned             *bool
	BanReason                 *string
	VaultQuota                *int64 // bytes as the database has them
	// EmailVouched makes the address count as verified. Until then anybody may have signed up with
	// it, so everything that opens the account is revoked, its password too unless there is a new
	// one.
	ForceEmailVerified bool
	KeepTokens         bool // with Password: the auth tokens do not end
}

func (p Patch) empty() bool {
	return p.identityPatch.empty() && p.Alias == nil && p.PublicKey == nil && p.Metadata == nil && p.Password == nil &&
		p.Admin == nil && p.Banned == nil && p.VaultQuota == nil && !p.ForceEmailVerified
}

// readPatch reads and checks the body of a PATCH or PUT by caller on the user id: every rule that
// needs no look at the database.
func readPatch(body *input.Object, caller auth.Identity, id string) (Patch, error) {
	patch := Patch{
		Alias: field.Optional(body.String("alias", 1, MaxAlias)), PublicKey: field.Optional(body.Text("public_key")),
		Password: field.Optional(body.Text("password")),
		Admin:    field.Optional(body.Bool("is_admin")), Banned: field.Optional(body.Bool("is_banned")),
	}
	patch.Metadata, _ = body.JSONObject("metadata", MaxMetadata)
	if body.Has("current_password") {
		current := field.StoredPassword(body, "current_password", field.MinCurrentPassword)
		patch.CurrentPassword = &current
	}
	patch.KeepTokens = !field.RevokeTokens(body)
	patch.identityPatch = readIdentity(body)
	if err := body.Err(); err != nil {
		return patch, err
	}
	if err := patch.checkAllowed(caller); err != nil {
		return patch, err
	}
	if (patch.Admin != nil || patch.Banned != nil) && !caller.Admin || patch.Password != nil &&
		caller.Kind != auth.Session {
		return patch, apperr.InsufficientPermissions()
	}
	if patch.PublicKey != nil && !field.ValidPublicKey(*patch.PublicKey) {
		return patch, apperr.New(apperr.Invalid, "INVALID_PUBLIC_KEY_FORMAT", "Invalid public key format")
	}
	switch {
	case patch.Password == nil && body.Has("revoke_tokens"):
		return patch, apitoken.TokensWithoutPassword()
	case patch.Password == nil:
		return patch, nil
	}
	if err := passwords.CheckStrength(*patch.Password); err != nil {
		return patch, err
	}
	if patch.CurrentPassword == nil && caller.UserID == id {
		return patch, field.PasswordRequired("Current password is required for password changes")
	}
	return patch, nil
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
	EmailKey        string
	PasswordHash    string
	VaultQuota      int64
	BanReason       *string
	BannedAt        *time.Time
	FreeTierOffered bool
}

// flagChanges says what a patch does to the flags of an account.
type flagChanges struct {
	isAdmin, isBanned          bool // afterwards
	AdminGranted, adminRevoked bool
	EmailVerified              bool // the address counts as verified from now on
	bannedNow, unbannedNow     bool
}

// flags decides what p makes of the account's flags. An account that is an admin, or would be one,
// is never banned in the same step. One whose address was never verified does not become an admin:
// its password may be a stranger's.
func (p Patch) flagChanges(account Account) (flagChanges, error) {
	flags := flagChanges{isAdmin: account.IsAdmin, isBanned: account.IsBanned}
	if p.Admin != nil {
		flags.isAdmin = *p.Admin
	}
	if p.Banned != nil {
		flags.isBanned = *p.Banned
	}
	if flags.isBanned && (flags.isAdmin || account.IsAdmin) {
		return flags, errCannotBanAdmin()
	}
	flags.EmailVerified = p.ForceEmailVerified && !account.EmailVerified
	flags.AdminGranted, flags.adminRevoked = flags.isAdmin && !account.IsAdmin, !flags.isAdmin && account.IsAdmin
	flags.bannedNow, flags.unbannedNow = flags.isBanned && !account.IsBanned, !flags.isBanned && account.IsBanned
	if flags.AdminGranted && !account.EmailVerified && !flags.EmailVerified {
		return flags, errAccountNotVerified()
	}
	return flags, nil
}

// events lists what the change is called in the security history.
func (f flagChanges) events() []string {
	var events []string
	for _, event := range []struct {
		happened bool
		name     string
	}{{f.EmailVerified, history.EmailVerified}, {f.AdminGranted, history.AdminGranted},
		{f.adminRevoked, history.AdminRevoked},
		{f.bannedNow, history.Banned}, {f.unbannedNow, history.Unbanned}} {
		if event.happened {
			events = append(events, event.name)
		}
	}
	return events
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
	policy   passwords.Policy
}

// DefaultAlias is the local part of the address, cut to what an alias may be.
func DefaultAlias(email string) string {
	local, _, _ := strings.Cut(email, "@")
	if runes := []rune(local); len(runes) > MaxAlias {
		local = string(runes[:MaxAlias])
	}
	return local
}

func New(throttle *throttle.Throttle, policy passwords.Policy) *Service {
	return &Service{Core: throttle.Core, Hasher: throttle.Hasher, throttle: throttle, policy: policy}
}

// updateProfile checks the current password when one is asked for and applies p to the user id. by
// is from where it is done, as the user may know it.
func (s *Service) updateProfile(ctx context.Context, caller auth.Identity, id string, patch Patch,
	device request.Device) (Updated, error) {
	var checkedHash, newHash string
	if patch.Password != nil {
		target, err := ByID(ctx, s.Pool, id)
		if err != nil {
			return Updated{}, err
		}
		if err := s.policy.Check(*patch.Password, target.Email, target.Username, target.Alias); err != nil {
			return Updated{}, err
		}
		if caller.UserID == id {
			if checkedHash, err = s.VerifyPassword(ctx, id, *patch.CurrentPassword, device); err != nil {
				return Updated{}, err
			}
		}
		if newHash, err = s.Hasher.Hash(ctx, device.Address, *patch.Password); err != nil {
			return Updated{}, err
		}
	}
	keepSession := ""
	if caller.UserID == id {
		keepSession = caller.SessionID
	}
	return s.Update(ctx, id, patch, checkedHash, newHash, keepSession, device)
}
