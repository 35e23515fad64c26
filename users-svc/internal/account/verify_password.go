package account

import (
	"context"

	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/request"
	"github.com/realmgate/realmgate/users-svc/internal/session"
	"github.com/realmgate/realmgate/users-svc/internal/throttle"
)

// VerifyPassword checks the password of a signed-in user before something that a stolen session
// must not be able to do, and returns the hash that it was checked against; the session of d counts
// as confirmed. 400 CURRENT_PASSWORD_INCORRECT when it is wrong, 429 RATE_LIMITED after as many
// wrong ones as a login allows.
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
		return "", errWrongPassword()
	}
	if err := s.throttle.Reset(ctx, s.Pool, state.Key); err != nil {
		return "", err
	}
	return account.PasswordHash, session.MarkConfirmed(ctx, s.Pool, device.SessionID, s.Now())
}
