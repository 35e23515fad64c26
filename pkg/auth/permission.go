package auth

import "github.com/realmgate/realmgate/pkg/apperr"

// The permissions that Realmgate checks: dotted paths to leaves of an auth token's permission tree.
// A session has all of them, a token has the ones that its tree grants; a path that the tree does
// not name is denied. Trees may hold other leaves too, for programs that read the tree themselves.
// There is none for the activity log, which only event_access opens (contract, section 7).
const (
	PermReadAccount      = "resources.read_account"   // the whole profile; without it only the reduced view
	PermUpdateAccount    = "resources.update_account" // PATCH of the own profile, never of the password
	PermVault            = "resources.vault"          // the vault, together with vault_access
	PermRealms           = "resources.realms"         // the list of realms
	PermReadTokens       = "resources.read_tokens"    // listing the auth tokens that the token created
	PermCreateTokens     = "resources.create_tokens"  // creating, changing and deleting its auth tokens
	PermProjectsRead     = "projects.read"
	PermContainersRead   = "containers.read"
	PermContainersCreate = "containers.create" // retry-setup
)

// KnownPermissions returns all permissions. The internal identity carries no others, which bounds
// its size.
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

// RequireSession returns 403 INSUFFICIENT_PERMISSIONS for every auth token, even one with all
// permissions.
func (i Identity) RequireSession() error {
	if i.Kind != Session {
		return apperr.InsufficientPermissions()
	}
	return nil
}
