package admin

import (
	"context"
	"fmt"

	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/mailaddr"
)

// EnsureFirst creates the admin that the settings name, unless an admin exists. Several replicas
// may call it at once. An existing account with the address becomes the admin: it gets the password
// of the settings and loses its sessions, auth tokens and second factor, because a stranger may
// have created it before the operator.
func (s *Service) EnsureFirst(ctx context.Context, cfg FirstAdminConfig) error {
	email, password := cfg.Email, cfg.Password.Reveal()
	if email == "" {
		return nil
	}
	if exists, err := anyAdmin(ctx, s.Pool); err != nil || exists {
		return err
	}
	if _, err := mailaddr.Parse(email); err != nil {
		return fmt.Errorf("ADMIN_EMAIL %w", err)
	}
	if err := s.policy.Check(password, email); err != nil {
		return fmt.Errorf("ADMIN_PASSWORD: %w", err)
	}
	hash, err := s.hasher.Hash(ctx, "", password)
	if err != nil {
		return err
	}
	userID, revoked, err := s.insertFirstAdmin(ctx, account.Draft{
		Email: email, PasswordHash: hash, Alias: account.DefaultAlias(email), Method: account.MethodAdmin, Admin: true,
		Verified:  true,
		CreatedAt: s.Now(),
	})
	switch {
	case revoked != nil:
		s.Log.Warn("an existing account became the first admin, with the password of the settings", "user_id", userID,
			"revoked", revoked.String())
	case userID != "":
		s.Log.Info("first admin created", "user_id", userID)
	}
	return err
}
