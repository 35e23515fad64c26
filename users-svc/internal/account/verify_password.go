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
func (a *Service) VerifyPassword(ctx context.Context, userID, password string, d request.Device) (string, error) {
	at, err := a.throttle.State(ctx, throttle.ConfirmKey(userID))
	if err == nil {
		err = a.throttle.Blocked(at)
	}
	if err != nil {
		return "", err
	}
	found, err := ByID(ctx, a.Pool, userID)
	if err != nil {
		return "", err
	}
	wrong := history.Event{UserID: userID, Kind: history.PasswordCheck, Failed: true, Device: d}
	right, err := a.throttle.Attempt(ctx, at, wrong, func() (bool, error) {
		return a.Hasher.Verify(password, found.PasswordHash), nil
	})
	switch {
	case err != nil:
		return "", err
	case !right:
		return "", errWrongPassword()
	}
	if err := a.throttle.Reset(ctx, a.Pool, at.Key); err != nil {
		return "", err
	}
	return found.PasswordHash, session.MarkConfirmed(ctx, a.Pool, d.SessionID, a.Now())
}
