package auth

import "github.com/realmgate/realmgate/pkg/apperr"

// The permissions that Realmgate decides by: dotted paths to leaves of an auth token's permission
// tree. A session has them all, a token those that its tree grants; a path that the tree does not
// name is denied. Trees may hold other leaves too, for programs that read the tree themselves. The
// activity log is not among them: event_access alone opens it (contract, section 7).
const (
	PermReadAccount      = "resources.read_account"   // the whole profile; without it only the reduced view
	PermUpdateAccount    = "resources.update_account" // PATCH of the own profile, never of the password
	PermVault            = "resources.vault"          // the vault, together with vault_access
	PermRealms           = "resources.realms"         // the list of realms
	PermReadTokens       = "resources.read_tokens"    // seeing the auth tokens that the token made
	PermCreateTokens     = "resources.create_tokens"  // making, changing and deleting those
	PermProjectsRead     = "projects.read"
	PermContainersRead   = "containers.read"
	PermContainersCreate = "containers.create" // retry-setup
)

// KnownPermissions returns all of them. Only these travel with a request, which bounds the size of
// the internal identity.
func KnownPermissions() []string {
	return []string{PermReadAccount, PermUpdateAccount, PermVault, PermRealms, PermReadTokens, PermCreateTokens,
		PermProjectsRead, PermContainersRead, PermContainersCreate}
}

// May reports whether the caller has the permission.
func (i Identity) May(permission string) bool {
	return i.Kind == Session || i.Kind == Token && i.Grant != nil && i.Grant.Allows(permission)
}

// Require returns 403 INSUFFICIENT_PERMISSIONS unless the caller has the permission.
func (i Identity) Require(permission string) error {
	if !i.May(permission) {
		return apperr.InsufficientPermissions()
	}
	return nil
}

// RequireSession returns 403 INSUFFICIENT_PERMISSIONS for auth tokens, whatever they grant.
func (i Identity) RequireSession() error {
	if i.Kind != Session {
		return apperr.InsufficientPermissions()
	}
	return nil
}
