package twofactor

import (
	"context"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/users-svc/internal/request"
	"github.com/realmgate/realmgate/users-svc/internal/session"
)

// Confirm checks whether the caller's session may create and change auth tokens: it was confirmed
// recently, or proof holds a correct password or code. An account with the token gate needs a code
// each time. The errors are 401 OTP_REQUIRED and 403 CONFIRMATION_REQUIRED, besides those of a
// wrong proof.
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
	confirmed, err := session.ConfirmedSince(ctx, s.Pool, caller.SessionID, s.Now().Add(-session.ConfirmationTTL))
	if err == nil && !confirmed {
		err = errConfirmationRequired()
	}
	return err
}

// confirmSession verifies the password, and the code if one is given, and confirms the session of
// device. A code for an account without a second factor is 409 TWOFACTOR_NOT_ENABLED.
func (s *Service) confirmSession(ctx context.Context, userID string, proof request.Proof,
	device request.Device) (confirmationAnswer, error) {
	factor, _, err := s.read(ctx, s.Pool, userID)
	switch {
	case err != nil:
		return confirmationAnswer{}, err
	case proof.Code != "" && factor.enabledAt == nil:
		return confirmationAnswer{}, errNotEnabled()
	}
	now := s.Now()
	_, err = s.checkProof(ctx, userID, proof, factor, device)
	return confirmationAnswer{api.Time(now.Add(session.ConfirmationTTL))}, err
}

// checkProof verifies the password and the code in proof, and confirms the session of device. The
// password comes first, so that a wrong one uses up no code. A code for an account without a second
// factor proves nothing. It reports whether anything was proved.
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

// confirmationAnswer tells until when a session counts as confirmed.
type confirmationAnswer struct {
	ConfirmedUntil api.Time `json:"confirmed_until"`
}

func errConfirmationRequired() *apperr.Error {
	return apperr.New(apperr.Forbidden, "CONFIRMATION_REQUIRED",
		"Confirm with your current password or a one-time code, or at POST /api/v1/users/me/confirm")
}
