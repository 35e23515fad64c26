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
type confirmationAnswer struct {
	ConfirmedUntil api.Time `json:"confirmed_until"`
}

func errConfirmationRequired() *apperr.Error {
	return apperr.New(apperr.Forbidden, "CONFIRMATION_REQUIRED",
		"Confirm with your current password or a one-time code, or at POST /api/v1/users/me/confirm")
}

// checkProof checks what p brings along, the password first, so that no code is used up beside a
// wrong password. A right one confirms the session of d. A code of an account without a second
// factor proves nothing.
func (s *Service) checkProof(ctx context.Context, userID string, proof request.Proof, factor secondFactor,
	device request.Device) (proved bool, err error) {
	if proof.Password != "" {
		if _, err := s.accounts.VerifyPassword(ctx, userID, proof.Password, device); err != nil {
			return false, err
		}
		proved = true
	}
	if proof.Code != "" && factor.enabledAt != nil {
		if _, err := s.useCode(ctx, userID, device, codeAttempt{code: proof.Code}); err != nil {
			return false, err
		}
		proved = true
	}
	return proved, nil
}

// confirmSession proves password and, when there is one, code, and confirms the session of d.
func (s *Service) confirmSession(ctx context.Context, userID string, proof request.Proof,
	device request.Device) (confirmationAnswer,
	error) {
	factor, _, err := s.read(ctx, s.Pool, userID)
	switch {
	case err != nil:
		return confirmationAnswer{}, err
	case proof.Code != "" && factor.enabledAt == nil:
		return confirmationAnswer{}, errNotEnabled()
	}
	now := s.Now()
	_, err = s.checkProof(ctx, userID, proof, factor, device)
	return confirmationAnswer{api.Time(now.Add(confirmationTTL))}, err
}

// Confirm makes Service the gate of auth tokens: a session may make and change them when it was
// confirmed a moment ago, or proves password or code now. An account whose second factor guards its
// tokens is asked for a code each time.
func (s *Service) Confirm(ctx context.Context, caller auth.Identity, proof request.Proof, device request.Device) error {
	factor, _, err := s.read(ctx, s.Pool, caller.UserID)
	switch {
	case err != nil:
		return err
	case factor.enabledAt != nil && factor.requireForTokens && proof.Code == "":
		return apperr.New(apperr.Unauthenticated, "OTP_REQUIRED", "A one-time code is required")
	}
	proved, err := s.checkProof(ctx, caller.UserID, proof, factor, device)
	if err != nil || proved {
		return err
	}
	confirmed, err := session.ConfirmedSince(ctx, s.Pool, caller.SessionID, s.Now().Add(-confirmationTTL))
	if err == nil && !confirmed {
		err = errConfirmationRequired()
	}
	return err
}
