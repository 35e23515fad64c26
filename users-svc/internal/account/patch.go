package account

import (
	"context"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/users-svc/internal/apitoken"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/passwords"
	"github.com/realmgate/realmgate/users-svc/internal/request"
	"github.com/realmgate/realmgate/users-svc/internal/session"
)

// Patch is the change that one request or command makes to an account. Nil fields stay as they are.
type Patch struct {
	identityPatch
	Alias, PublicKey          *string
	Metadata                  jsontext.Value
	Password, CurrentPassword *string
	Admin, Banned             *bool
	BanReason                 *string
	VaultQuota                *int64 // in bytes, see Account
	// ForceEmailVerified marks the address as verified. A stranger may have signed up with an
	// address that was not, so all access is then revoked, and the password too unless Password
	// sets a new one.
	ForceEmailVerified bool
	KeepTokens         bool // a new Password does not delete the auth tokens
}

// Updated is an account after a change, with the changed flags and the access that the change
// revoked.
type Updated struct {
	Account
	Changed flagChanges
	Revoked Revoked
}

// updateProfile applies patch to the user id. A user who sets a new password must give the current
// one. device is recorded in the security history.
func (s *Service) updateProfile(ctx context.Context, caller auth.Identity, id string, patch Patch,
	device request.Device) (Updated, error) {
	var checkedHash, newHash string
	if patch.Password != nil {
		target, err := ByID(ctx, s.Pool, id)
		if err != nil {
			return Updated{}, err
		}
		if caller.UserID == id && patch.CurrentPassword == nil && passwords.Usable(target.PasswordHash) {
			return Updated{}, field.PasswordRequired("Current password is required for password changes")
		}
		if err := s.policy.Check(*patch.Password, target.Email, target.Username, target.Alias); err != nil {
			return Updated{}, err
		}
		if caller.UserID == id {
			if checkedHash, err = s.authorizePassword(ctx, target, patch.CurrentPassword, device); err != nil {
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

func (p Patch) empty() bool {
	return p.identityPatch.empty() && p.Alias == nil && p.PublicKey == nil && p.Metadata == nil && p.Password == nil &&
		p.Admin == nil && p.Banned == nil && p.VaultQuota == nil && !p.ForceEmailVerified
}

// readPatch reads the body of a PATCH or PUT by caller on the user id. It checks every rule that
// needs no database access.
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
	return patch, nil
}

// authorizePassword verifies the current password before a user sets a new one, and returns its
// hash. An account without a password instead needs a session that signed in within
// firstPasswordTTL: 403 CONFIRMATION_REQUIRED.
func (s *Service) authorizePassword(ctx context.Context, target Account, current *string,
	device request.Device) (string, error) {
	if current != nil {
		return s.VerifyPassword(ctx, target.ID, *current, device)
	}
	recent, err := session.OpenedSince(ctx, s.Pool, device.SessionID, s.Now().Add(-firstPasswordTTL))
	if err == nil && !recent {
		err = apperr.New(apperr.Forbidden, "CONFIRMATION_REQUIRED",
			"Sign in again: an account without a password sets one within 10 minutes of signing in")
	}
	return target.PasswordHash, err
}

// firstPasswordTTL is how long after a sign-in an account without a password may set one. A session
// that was stolen later cannot.
const firstPasswordTTL = 10 * time.Minute

// flagChanges is the effect of a patch on the flags of an account.
type flagChanges struct {
	isAdmin, isBanned          bool // after the change
	AdminGranted, adminRevoked bool
	EmailVerified              bool // ForceEmailVerified, and it was not verified before
	bannedNow, unbannedNow     bool
}

// flagChanges returns the effect of p on the flags of account. An account that is an admin, or is
// being made one, cannot be banned in the same step (403 CANNOT_BAN_ADMIN). An account whose
// address was never verified cannot become an admin, because a stranger may have set its password
// (409 ACCOUNT_NOT_VERIFIED).
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

// events returns the kinds of the security history that the change amounts to.
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

// ErrWrongPassword returns 400 CURRENT_PASSWORD_INCORRECT.
func ErrWrongPassword() *apperr.Error {
	return apperr.New(apperr.Invalid, "CURRENT_PASSWORD_INCORRECT", "Current password is incorrect")
}
