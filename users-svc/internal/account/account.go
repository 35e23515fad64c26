// Package account provides accounts: their profiles, every change to them, and all SQL over their
// columns. It serves /users/me and /users/{id}. Start reading at Account and Service.Update.
package account

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/quota"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/passwords"
	"github.com/realmgate/realmgate/users-svc/internal/throttle"
)

// Account is a user together with the columns that no answer shows.
type Account struct {
	User
	EmailKey        string
	PasswordHash    string
	VaultQuota      int64 // bytes; 0: the default of vault-svc, see package quota
	BanReason       *string
	BannedAt        *time.Time
	FreeTierOffered bool // at the first sign-in
}

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

// Service reads and changes accounts. Hasher is shared with the domains that set passwords.
type Service struct {
	*core.Core
	Hasher   *passwords.Hasher
	throttle *throttle.Throttle
	policy   passwords.Policy
	quotaMB  int64 // the default quota of a user's vault
}

// New returns the domain of accounts. throttle slows down guesses of the current password, and
// policy judges new passwords. quotaMB is the default quota of vault-svc, in mebibytes.
func New(throttle *throttle.Throttle, policy passwords.Policy, quotaMB int64) *Service {
	return &Service{Core: throttle.Core, Hasher: throttle.Hasher, throttle: throttle, policy: policy, quotaMB: quotaMB}
}

// visibleTo returns the user as caller may see it: a reducedUser for an auth token that lacks the
// permission resources.read_account.
func (u User) visibleTo(caller auth.Identity) any {
	if !caller.May(auth.PermReadAccount) {
		return reducedUser{ID: u.ID, Username: u.Username, Alias: u.Alias, PublicKey: u.PublicKey,
			CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt}
	}
	return u
}

// reducedUser is a user as seen by an auth token without the permission resources.read_account.
type reducedUser struct {
	ID        string   `json:"id"`
	Username  string   `json:"username"`
	Alias     string   `json:"alias"`
	PublicKey *string  `json:"public_key"`
	CreatedAt api.Time `json:"created_at"`
	UpdatedAt api.Time `json:"updated_at"`
}

// Filter selects the users of a list. Nil flags do not filter. Page counts from 1.
type Filter struct {
	Search        string // a literal part of the username, address or alias in any case, or the id
	Admin, Banned *bool
	Page, Limit   int
}

// The values of User.SignupMethod: how an account was created.
const (
	MethodEmail  = "email" // the user signed up
	MethodAdmin  = "admin"
	MethodImport = "import"
)

// MaxAlias is the longest alias, in characters.
const MaxAlias = 100

// MaxMetadata is the largest metadata object, in bytes of compact JSON.
const MaxMetadata = 64 << 10

// ValidAlias reports whether the text can be an alias.
func ValidAlias(alias string) bool {
	return alias != "" && utf8.ValidString(alias) && utf8.RuneCountInString(alias) <= MaxAlias &&
		!strings.Contains(alias, "\x00")
}

// DefaultAlias returns the local part of an address, cut to MaxAlias characters.
func DefaultAlias(email string) string {
	local, _, _ := strings.Cut(email, "@")
	if runes := []rune(local); len(runes) > MaxAlias {
		local = string(runes[:MaxAlias])
	}
	return local
}

// adminUser is an account as an admin reads it by its id.
type adminUser struct {
	User
	BanReason    *string   `json:"ban_reason"`
	BannedAt     *api.Time `json:"banned_at"`
	LastSeenAt   *api.Time `json:"last_seen_at"` // null: never signed in
	TwoFactor    bool      `json:"two_factor"`
	VaultQuotaMB int64     `json:"vault_quota_mb"` // effective
	Sessions     int64     `json:"sessions"`       // live ones
}

// forAdmin returns the account with the reason and the time of its ban, its use and its quota,
// where defaultMB is the quota of accounts without one of their own.
func (a Account) forAdmin(use usage, defaultMB int64) adminUser {
	own := quota.ToGateways(a.VaultQuota)
	view := adminUser{User: a.User, LastSeenAt: api.TimePtr(use.lastSeen), TwoFactor: use.twoFactor,
		VaultQuotaMB: quota.Effective(own, defaultMB<<20) >> 20, Sessions: use.sessions}
	if !a.IsBanned {
		return view
	}
	view.BanReason, view.BannedAt = a.BanReason, api.TimePtr(a.BannedAt)
	if view.BannedAt == nil { // banned by a replica of the previous release
		view.BannedAt = &a.UpdatedAt
	}
	return view
}
