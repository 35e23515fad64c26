package vault

import (
	"context"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
	"github.com/realmgate/realmgate/vault-svc/internal/store"
)

// Versions lists all versions of a key that exists or is in the trash, newest first. The error is
// 404 VAULT_KEY_NOT_FOUND when there are none.
func (v *Vault) Versions(ctx context.Context, ref sealing.Ref) ([]store.Version, error) {
	list, err := v.items.Versions(ctx, ref)
	if err == nil && len(list) == 0 {
		err = keyNotFound()
	}
	return list, err
}

// versionNotFound returns 404 VAULT_VERSION_NOT_FOUND.
func versionNotFound() error {
	return apperr.New(apperr.NotFound, "VAULT_VERSION_NOT_FOUND", "Vault key version not found.")
}
