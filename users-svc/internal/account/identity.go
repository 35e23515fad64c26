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
func readIdentity(body *input.Object) identityPatch {
	patch := identityPatch{Username: UsernameField(body), EmailVerified: field.Optional(body.Bool("email_verified"))}
	if body.Has("email") {
		email := mailaddr.Field(body, "email")
		patch.Email = &email
	}
	return patch
}

// UsernameField reads a name that somebody chooses; nil when it was not sent.
func UsernameField(body *input.Object) *string {
	name, ok := body.String("username", 3, 50)
	if ok && !usernamePattern.MatchString(name) {
		body.Fail("username", "must be letters, digits, underscores and hyphens")
	}
	return field.Optional(name, ok)
}

// allowed refuses what only admins may change. Users change their own address elsewhere, where the
// new one is verified.
func (p identityPatch) checkAllowed(caller auth.Identity) error {
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
func (p identityPatch) events(before Account) []string {
	var events []string
	verified := p.verified(before.EmailVerified)
	for _, event := range []struct {
		happened bool
		name     string
	}{
		{p.Username != nil && *p.Username != before.Username, history.UsernameChanged},
		{p.Email != nil && *p.Email != before.Email, history.EmailChanged},
		{verified && !before.EmailVerified, history.EmailVerified},
		{!verified && before.EmailVerified, history.EmailUnverified},
	} {
		if event.happened {
			events = append(events, event.name)
		}
	}
	return events
}

// AdminUser is an account as an admin sees it by its id.
type adminUser struct {
	User
	BanReason *string   `json:"ban_reason"`
	BannedAt  *api.Time `json:"banned_at"`
}

func (a Account) forAdmin() adminUser {
	view := adminUser{User: a.User}
	if !a.IsBanned {
		return view
	}
	view.BanReason, view.BannedAt = a.BanReason, api.TimePtr(a.BannedAt)
	if view.BannedAt == nil { // the previous release banned it, a moment ago
		view.BannedAt = &a.UpdatedAt
	}
	return view
}

// PasswordChanged answers a change with a new password.
type passwordChanged struct {
	User
	apitoken.RevokedTokens
}
