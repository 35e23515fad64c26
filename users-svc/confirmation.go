package users

import (
	"context"
	"time"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
)

// confirmationTTL is how long a session counts as confirmed after it proved a password or a
// one-time code. It is long enough for somebody at work in the settings of an account, and short
// enough that a session which was stolen some time ago cannot make credentials that outlive it.
const confirmationTTL = 10 * time.Minute

// proof is what a request brings along to prove that the user of the account sends it; "" for
// nothing.
type proof struct{ password, code string }

// Confirmation says until when a session counts as confirmed.
type Confirmation struct {
	ConfirmedUntil api.Time `json:"confirmed_until"`
}

func errPasswordRequired(message string) *apperr.Error {
	return apperr.New(apperr.Invalid, "CURRENT_PASSWORD_REQUIRED", message)
}

func errConfirmationRequired() *apperr.Error {
	return apperr.New(apperr.Forbidden, "CONFIRMATION_REQUIRED",
		"Confirm with your current password or a one-time code, or at POST /api/v1/users/me/confirm")
}

// check checks what p brings along, the password first, so that no code is used up beside a wrong
// password. A right one confirms the session of d. A code of an account without a second factor
// proves nothing.
func (t *twoFactor) check(ctx context.Context, userID string, p proof, f factor, d device) (proved bool, err error) {
	if p.password != "" {
		if _, err := t.accounts.confirm(ctx, userID, p.password, d); err != nil {
			return false, err
		}
		proved = true
	}
	if p.code != "" && f.enabledAt != nil {
		if _, err := t.spend(ctx, userID, d, spending{code: p.code}); err != nil {
			return false, err
		}
		proved = true
	}
	return proved, nil
}

// confirmSession proves password and, when there is one, code, and confirms the session of d.
func (t *twoFactor) confirmSession(ctx context.Context, userID string, p proof, d device) (Confirmation, error) {
	f, _, err := t.read(ctx, t.pool, userID)
	switch {
	case err != nil:
		return Confirmation{}, err
	case p.code != "" && f.enabledAt == nil:
		return Confirmation{}, errTwoFactorNotEnabled()
	}
	now := t.now()
	_, err = t.check(ctx, userID, p, f, d)
	return Confirmation{api.Time(now.Add(confirmationTTL))}, err
}

// pass makes twoFactor the gate of auth tokens: a session may make and change them when it was
// confirmed a moment ago, or proves password or code now. An account whose second factor guards its
// tokens is asked for a code each time.
func (t *twoFactor) pass(ctx context.Context, caller auth.Identity, p proof, d device) error {
	f, _, err := t.read(ctx, t.pool, caller.UserID)
	switch {
	case err != nil:
		return err
	case f.enabledAt != nil && f.requireForTokens && p.code == "":
		return apperr.New(apperr.Unauthenticated, "OTP_REQUIRED", "A one-time code is required")
	}
	proved, err := t.check(ctx, caller.UserID, p, f, d)
	if err != nil || proved {
		return err
	}
	confirmed, err := confirmedSince(ctx, t.pool, caller.SessionID, t.now().Add(-confirmationTTL))
	if err == nil && !confirmed {
		err = errConfirmationRequired()
	}
	return err
}
