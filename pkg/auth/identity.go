package auth

import (
	"slices"
	"time"

	"github.com/realmgate/realmgate/pkg/apperr"
)

// IdentityHeader carries the signed internal identity from the gateway to a service. The gateway
// strips it from what clients send.
const IdentityHeader = "X-Realmgate-Identity"

// RefusedHeader is on a service's 401 that is about the gateway's identity and not about a client's
// credential.
const RefusedHeader = "X-Realmgate-Refused"

// IdentityTTL is how long a signed identity is good for. IdentityLeeway is how much longer a
// service takes it, whose clock may be behind the gateway's; one that is ahead takes it for as much
// less.
const (
	IdentityTTL    = 30 * time.Second
	IdentityLeeway = 5 * time.Second
)

// Kind says how the caller proved who they are.
type Kind string

// The kinds of caller.
const (
	Anonymous Kind = "anonymous" // nobody: public routes
	Session   Kind = "session"   // a JWT
	Token     Kind = "token"     // an hdy_ auth token
	System    Kind = "system"    // the gateway itself, on internal routes
)

// Identity is who a request comes from, as the gateway established it. Services trust nothing else
// about the caller.
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
	// Grant is what an auth token allows, nil with every other kind.
	Grant *Grant `json:"grt,omitempty"`
	// VaultQuota is the user's own vault quota in bytes, 0 for the default, -1 for none at all.
	VaultQuota int64 `json:"vqt,omitempty"`
	// ClientAddr is the address of the client without a port, after trusted proxies.
	ClientAddr string `json:"adr,omitempty"`
}

// Grant is the part of an auth token's permissions that services decide by.
type Grant struct {
	VaultAccess  bool     `json:"vlt,omitempty"`
	EventAccess  bool     `json:"evt,omitempty"`
	Realms       []string `json:"rls,omitempty"` // empty: not restricted
	AllowNoRealm bool     `json:"anr,omitempty"`
	// Permissions holds the allowed leaves of the permission tree as dotted paths, such as
	// "resources.vault".
	Permissions []string `json:"prm,omitempty"`
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

// InRealm keeps an auth token inside of its realms (contract, section 7); realm is "" outside of
// every realm. The clients look for these words in the messages of the 403.
func (g *Grant) InRealm(realm string) error {
	switch {
	case realm == "" && (len(g.Realms) > 0 || !g.AllowNoRealm):
		return apperr.New(apperr.Forbidden, "REALM_SCOPE_REQUIRED", "This token requires a realm-scoped URL")
	case realm != "" && len(g.Realms) > 0 && !slices.Contains(g.Realms, realm):
		return apperr.New(apperr.Forbidden, "REALM_NOT_ALLOWED", "This token is not valid for realm "+realm)
	}
	return nil
}

// IsUser reports whether there is a user behind the request, by session or by token.
func (i Identity) IsUser() bool { return i.UserID != "" && (i.Kind == Session || i.Kind == Token) }
