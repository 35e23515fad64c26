package users

import (
	"context"
)

// confirm checks the password of a signed-in user before something that a stolen session must not be able to do, and returns the hash that
// it was checked against. 400 CURRENT_PASSWORD_INCORRECT when it is wrong, 429 RATE_LIMITED after as many wrong ones as a login allows.
func (a *accounts) confirm(ctx context.Context, userID, password string, d device) (string, error) {
	key := digest("confirm", userID)
	t := &throttle{core: a.core, rate: a.cfg.Throttle.LoginAccount}
	if err := t.check(ctx, key); err != nil {
		return "", err
	}
	found, err := accountByID(ctx, a.pool, userID)
	if err != nil {
		return "", err
	}
	err = a.hasher.in(ctx, func() error {
		if err := t.check(ctx, key); err != nil {
			return err
		}
		ok, _, err := a.hasher.verify(password, found.PasswordHash)
		if err != nil || ok {
			return err
		}
		if err := t.failed(ctx, key, happening{UserID: userID, Event: eventPasswordCheck, Failed: true, Device: d}); err != nil {
			return err
		}
		return errWrongPassword()
	})
	if err != nil {
		return "", err
	}
	return found.PasswordHash, t.forget(ctx, key)
}
