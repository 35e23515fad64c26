package users

import (
	"context"
	"fmt"
)

// makeFirstAdmin creates the admin that the settings name while there is no admin. Several replicas
// may call it at once. An account that has the address already becomes the admin, with the password
// of the settings and without the sessions, auth tokens and second factor that it had: whoever made
// it before the operator came must not be it.
func (a *administration) makeFirstAdmin(ctx context.Context, cfg firstAdminConfig) error {
	email, password := cfg.Email, cfg.Password.Reveal()
	if email == "" {
		return nil
	}
	if there, err := anyAdmin(ctx, a.pool); err != nil || there {
		return err
	}
	if _, err := parseEmail(email); err != nil {
		return fmt.Errorf("ADMIN_EMAIL %w", err)
	}
	if err := a.rule.check(password, email); err != nil {
		return fmt.Errorf("ADMIN_PASSWORD: %w", err)
	}
	hash, err := a.hasher.hash(ctx, "", password)
	if err != nil {
		return err
	}
	userID, before, err := a.insertFirstAdmin(ctx, newAccount{
		Email: email, PasswordHash: hash, Alias: firstAlias(email), Method: methodAdmin, Admin: true, Verified: true,
		At: a.now(),
	})
	switch {
	case before != nil:
		a.log.Warn("an existing account became the first admin, with the password of the settings", "user_id", userID,
			"revoked", before.String())
	case userID != "":
		a.log.Info("first admin created", "user_id", userID)
	}
	return err
}
