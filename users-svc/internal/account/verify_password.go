package account

import (
	"context"

	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/request"
	"github.com/realmgate/realmgate/users-svc/internal/session"
	"github.com/realmgate/realmgate/users-svc/internal/throttle"
)

// VerifyPassword verifies the current password of a signed-in user, before a change that a stolen
// session must not be able to make. It marks the session of device as confirmed and returns the
// hash that the password matched. A wrong password is 400 CURRENT_PASSWORD_INCORRECT; too many of
// them are 429 RATE_LIMITED, at the same rate as logins.
func (s *Service) VerifyPassword(ctx context.Context, userID, password string, device request.Device) (string, error) {
	state, err := s.throttle.State(ctx, throttle.ConfirmKey(userID))
	if err == nil {
		err = s.throttle.Blocked(state)
	}
	if err != nil {
		return "", err
	}
	account, err := ByID(ctx, s.Pool, userID)
	if err != nil {
		return "", err
	}
	wrong := history.Event{UserID: userID, Kind: history.PasswordCheck, Failed: true, Device: device}
	correct, err := s.throttle.Attempt(ctx, state, wrong, func() (bool, error) {
		return s.Hasher.Verify(password, account.PasswordHash), nil
	})
	switch {
	case err != nil:
		return "", err
	case !correct:
		return "", ErrWrongPassword()
	}
	if err := s.throttle.Reset(ctx, s.Pool, state.Key); err != nil {
		return "", err
	}
	return account.PasswordHash, session.MarkConfirmed(ctx, s.Pool, device.SessionID, s.Now())
}
