package users

import (
	"context"
)

// confirm checks the password of a signed-in user before something that a stolen session must not
// be able to do, and returns the hash that it was checked against; the session of d counts as
// confirmed. 400 CURRENT_PASSWORD_INCORRECT when it is wrong, 429 RATE_LIMITED after as many wrong
// ones as a login allows.
func (a *accounts) confirm(ctx context.Context, userID, password string, d device) (string, error) {
	at, err := a.throttle.standing(ctx, digest("confirm", userID))
	if err == nil {
		err = at.refusal(a.throttle.rate, a.now())
	}
	if err != nil {
		return "", err
	}
	found, err := accountByID(ctx, a.pool, userID)
	if err != nil {
		return "", err
	}
	wrong := happening{UserID: userID, Event: eventPasswordCheck, Failed: true, Device: d}
	right, err := a.throttle.guess(ctx, at, wrong, func() (bool, error) {
		return a.hasher.verify(password, found.PasswordHash), nil
	})
	switch {
	case err != nil:
		return "", err
	case !right:
		return "", errWrongPassword()
	}
	if err := a.throttle.forget(ctx, a.pool, at.key); err != nil {
		return "", err
	}
	return found.PasswordHash, markConfirmed(ctx, a.pool, d.SessionID, a.now())
}
