package account

import (
	"regexp"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/users-svc/internal/apitoken"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/mailaddr"
)

var usernamePattern = regexp.MustCompile(`^[a-zA-Z0-9_-]{3,50}$`)

func ErrEmailTaken() *apperr.Error {
	return apperr.New(apperr.Conflict, "EMAIL_TAKEN", "A user with this email already exists")
}

func errUsernameTaken() *apperr.Error {
	return apperr.New(apperr.Conflict, "USERNAME_TAKEN", "A user with this username already exists")
}

// identityPatch is the part of a patch that changes by which names an account is known.
type identityPatch struct {
	Username      *string
	Email         *string
	EmailVerified *bool
}

func (p identityPatch) empty() bool {
	return p.Username == nil && p.Email == nil && p.EmailVerified == nil
}

// readIdentity reads username, email and email_verified.
func readIdentity(o *input.Object) identityPatch {
	p := identityPatch{Username: UsernameField(o), EmailVerified: field.Optional(o.Bool("email_verified"))}
	if o.Has("email") {
		email := mailaddr.Field(o, "email")
		p.Email = &email
	}
	return p
}

// UsernameField reads a name that somebody chooses; nil when it was not sent.
func UsernameField(o *input.Object) *string {
	name, ok := o.String("username", 3, 50)
	if ok && !usernamePattern.MatchString(name) {
		o.Fail("username", "must be letters, digits, underscores and hyphens")
	}
	return field.Optional(name, ok)
}

// allowed refuses what only admins may change. Users change their own address elsewhere, where the
// new one is verified.
func (p identityPatch) allowed(caller auth.Identity) error {
	switch {
	case caller.Admin:
		return nil
	case p.Email != nil:
		return apperr.InvalidField("/email", "is changed by POST /users/me/email")
	case p.EmailVerified != nil:
		return apperr.InsufficientPermissions()
	}
	return nil
}

// verified returns whether the address counts as verified afterwards: a new one that an admin sets
// does, unless the request says otherwise.
func (p identityPatch) verified(before bool) bool {
	if p.EmailVerified != nil {
		return *p.EmailVerified
	}
	return before || p.Email != nil
}

// events lists what the change is called in the security history.
func (p identityPatch) events(old Account) []string {
	var out []string
	verified := p.verified(old.EmailVerified)
	for _, e := range []struct {
		happened bool
		name     string
	}{
		{p.Username != nil && *p.Username != old.Username, history.UsernameChanged},
		{p.Email != nil && *p.Email != old.Email, history.EmailChanged},
		{verified && !old.EmailVerified, history.EmailVerified},
		{!verified && old.EmailVerified, history.EmailUnverified},
	} {
		if e.happened {
			out = append(out, e.name)
		}
	}
	return out
}

// AdminUser is an account as an admin sees it by its id.
type AdminUser struct {
	User
	BanReason *string   `json:"ban_reason"`
	BannedAt  *api.Time `json:"banned_at"`
}

func (a Account) forAdmins() AdminUser {
	out := AdminUser{User: a.User}
	if !a.IsBanned {
		return out
	}
	out.BanReason, out.BannedAt = a.BanReason, api.TimePtr(a.BannedAt)
	if out.BannedAt == nil { // the previous release banned it, a moment ago
		out.BannedAt = &a.UpdatedAt
	}
	return out
}

// PasswordChanged answers a change with a new password.
type PasswordChanged struct {
	User
	apitoken.RevokedTokens
}
