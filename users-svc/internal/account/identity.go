package account

import (
	"regexp"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/mailaddr"
)

// identityPatch is the part of a patch that changes the names by which an account signs in.
type identityPatch struct {
	Username      *string
	Email         *string
	EmailVerified *bool
}

// readIdentity reads the fields username, email and email_verified.
func readIdentity(body *input.Object) identityPatch {
	patch := identityPatch{Username: UsernameField(body), EmailVerified: field.Optional(body.Bool("email_verified"))}
	if body.Has("email") {
		email := mailaddr.Field(body, "email")
		patch.Email = &email
	}
	return patch
}

// UsernameField reads the field username: 3 to 50 letters, digits, underscores and hyphens. It
// returns nil when the field is absent.
func UsernameField(body *input.Object) *string {
	name, ok := body.String("username", 3, 50)
	if ok && !usernamePattern.MatchString(name) {
		body.Fail("username", "must be letters, digits, underscores and hyphens")
	}
	return field.Optional(name, ok)
}

var usernamePattern = regexp.MustCompile(`^[a-zA-Z0-9_-]{3,50}$`)

func (p identityPatch) empty() bool {
	return p.Username == nil && p.Email == nil && p.EmailVerified == nil
}

// checkAllowed refuses the fields that only admins may set. Users change their own address with
// POST /users/me/email, which verifies the new one.
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

// verified returns whether the address is verified after the change. A new address that an admin
// sets is, unless the request says otherwise.
func (p identityPatch) verified(before bool) bool {
	if p.EmailVerified != nil {
		return *p.EmailVerified
	}
	return before || p.Email != nil
}

// events returns the kinds of the security history that the change amounts to.
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

// ErrEmailTaken returns 409 EMAIL_TAKEN.
func ErrEmailTaken() *apperr.Error {
	return apperr.New(apperr.Conflict, "EMAIL_TAKEN", "A user with this email already exists")
}

func errUsernameTaken() *apperr.Error {
	return apperr.New(apperr.Conflict, "USERNAME_TAKEN", "A user with this username already exists")
}

// EmailPatch returns the patch that sets the address of an account.
func EmailPatch(email string) Patch { return Patch{identityPatch: identityPatch{Email: &email}} }
