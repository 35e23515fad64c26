package twofactor

import (
	"context"
	"time"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/users-svc/internal/request"
	"github.com/realmgate/realmgate/users-svc/internal/session"
)

// confirmationTTL is how long a session counts as confirmed after it proved a password or a
// one-time code. It is long enough for somebody at work in the settings of an account, and short
// enough that a session which was stolen some time ago cannot make credentials that outlive it.
const confirmationTTL = 10 * time.Minute

// Confirmation says until when a session counts as confirmed.
type Confirmation struct {
	ConfirmedUntil api.Time `json:"confirmed_until"`
}

func errConfirmationRequired() *apperr.Error {
	return apperr.New(apperr.Forbidden, "CONFIRMATION_REQUIRED",
		"Confirm with your current password or a one-time code, or at POST /api/v1/users/me/confirm")
}

// checkProof checks what p brings along, the password first, so that no code is used up beside a
// wrong password. A right one confirms the session of d. A code of an account without a second
// factor proves nothing.
func (t *Service) checkProof(ctx context.Context, userID string, p request.Proof, f factor,
	d request.Device) (proved bool, err error) {
	if p.Password != "" {
		if _, err := t.accounts.VerifyPassword(ctx, userID, p.Password, d); err != nil {
			return false, err
		}
		proved = true
	}
	if p.Code != "" && f.enabledAt != nil {
		if _, err := t.useCode(ctx, userID, d, codeAttempt{code: p.Code}); err != nil {
			return false, err
		}
		proved = true
	}
	return proved, nil
}

// confirmSession proves password and, when there is one, code, and confirms the session of d.
func (t *Service) confirmSession(ctx context.Context, userID string, p request.Proof, d request.Device) (Confirmation,
	error) {
	f, _, err := t.read(ctx, t.Pool, userID)
	switch {
	case err != nil:
		return Confirmation{}, err
	case p.Code != "" && f.enabledAt == nil:
		return Confirmation{}, errTwoFactorNotEnabled()
	}
	now := t.Now()
	_, err = t.checkProof(ctx, userID, p, f, d)
	return Confirmation{api.Time(now.Add(confirmationTTL))}, err
}

// Confirm makes Service the gate of auth tokens: a session may make and change them when it was
// confirmed a moment ago, or proves password or code now. An account whose second factor guards its
// tokens is asked for a code each time.
func (t *Service) Confirm(ctx context.Context, caller auth.Identity, p request.Proof, d request.Device) error {
	f, _, err := t.read(ctx, t.Pool, caller.UserID)
	switch {
	case err != nil:
		return err
	case f.enabledAt != nil && f.requireForTokens && p.Code == "":
		return apperr.New(apperr.Unauthenticated, "OTP_REQUIRED", "A one-time code is required")
	}
	proved, err := t.checkProof(ctx, caller.UserID, p, f, d)
	if err != nil || proved {
		return err
	}
	confirmed, err := session.ConfirmedSince(ctx, t.Pool, caller.SessionID, t.Now().Add(-confirmationTTL))
	if err == nil && !confirmed {
		err = errConfirmationRequired()
	}
	return err
}
