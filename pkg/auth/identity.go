package auth

import (
	"slices"
	"time"

	"github.com/realmgate/realmgate/pkg/apperr"
)

// IdentityHeader carries the signed internal identity from the gateway to a service. The gateway
// removes it from the requests of clients.
const IdentityHeader = "X-Realmgate-Identity"

// RefusedHeader marks a service's 401 that is about the gateway's identity and not about a client's
// credential.
const RefusedHeader = "X-Realmgate-Refused"

// IdentityTTL is how long a signed identity is valid. A service accepts it IdentityLeeway longer,
// because the clocks of gateway and service may differ by that much.
const (
	IdentityTTL    = 30 * time.Second
	IdentityLeeway = 5 * time.Second
)

// Kind is the kind of credential with which the caller authenticated.
type Kind string

// The kinds of caller.
const (
	Anonymous Kind = "anonymous" // no credential: public routes
	Session   Kind = "session"   // a JWT
	Token     Kind = "token"     // an hdy_ auth token
	System    Kind = "system"    // the gateway itself, on internal routes
)

// Identity describes the caller of a request, as the gateway established it. Services trust nothing
// else about the caller.
type Identity struct {
	Kind      Kind   `json:"kind"`
	UserID    string `json:"uid,omitempty"`
	SessionID string `json:"sid,omitempty"` // with Kind Session
	TokenID   string `json:"tid,omitempty"` // with Kind Token
	Admin     bool   `json:"adm,omitempty"` // never set with Kind Token
	Banned    bool   `json:"ban,omitempty"`
	// Realm is the realm of the host, lower-case, "" when none; the service reconciles it with
	// ?realm_id=.
	Realm string `json:"rlm,omitempty"`
	// Grant holds the permissions of an auth token; nil with every other kind.
	Grant *Grant `json:"grt,omitempty"`
	// VaultQuota is the user's own vault quota in bytes, 0 for the default, -1 for none at all.
	VaultQuota int64 `json:"vqt,omitempty"`
	// ClientAddr is the address of the client without a port, after trusted proxies.
	ClientAddr string `json:"adr,omitempty"`
}

// Grant is the part of an auth token's permissions that services check.
type Grant struct {
	// VaultAccess grants the whole vault. It is false for a token with a VaultScope, so that a
	// gateway or service of an earlier release, which does not know scopes, refuses the token.
	VaultAccess  bool     `json:"vlt,omitempty"`
	EventAccess  bool     `json:"evt,omitempty"`
	Realms       []string `json:"rls,omitempty"` // empty: not restricted
	AllowNoRealm bool     `json:"anr,omitempty"`
	// Permissions holds the allowed leaves of the permission tree as dotted paths, such as
	// "resources.vault".
	Permissions []string `json:"prm,omitempty"`
	// VaultScope grants a part of the vault; nil for a token with the whole vault or none of it.
	VaultScope *VaultScope `json:"vsc,omitempty"`
}

// Allows reports whether the tree grants the dotted path.
func (g *Grant) Allows(path string) bool {
	for _, p := range g.Permissions {
		if p == path {
			return true
		}
	}
	return false
}

// InRealm returns 403 when an auth token is used outside of its realms (contract, section 7); realm
// is "" for a request without a realm. The clients search for these words in the message.
func (g *Grant) InRealm(realm string) error {
	switch {
	case realm == "" && (len(g.Realms) > 0 || !g.AllowNoRealm):
		return apperr.New(apperr.Forbidden, "REALM_SCOPE_REQUIRED", "This token requires a realm-scoped URL")
	case realm != "" && len(g.Realms) > 0 && !slices.Contains(g.Realms, realm):
		return apperr.New(apperr.Forbidden, "REALM_NOT_ALLOWED", "This token is not valid for realm "+realm)
	}
	return nil
}

// IsUser reports whether the caller is a user, with a session or a token.
func (i Identity) IsUser() bool { return i.UserID != "" && (i.Kind == Session || i.Kind == Token) }
