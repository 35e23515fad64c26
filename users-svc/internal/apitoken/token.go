// Package apitoken provides auth tokens, the long-lived credentials of users: their fields, their
// rights, and the delegation by which a token creates and manages further tokens. It serves
// /auth/tokens, /users/:id/tokens for admins, and the states of tokens for the gateways. Start
// reading at Service in manage.go.
package apitoken

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/users-svc/internal/permission"
)

// tokenPrefix is the prefix of every auth token.
const tokenPrefix = "hdy_"

// maxDelegationDepth bounds Token.DelegationDepth: the number of ancestors of a token.
const maxDelegationDepth = 5

// Token is a long-lived credential of a user, without its secret. The secret, hdy_<id>_<48
// hexadecimal characters>, is in the answer to its creation only; the database stores its hash.
type Token struct {
	ID               string          `json:"id"`
	UserID           string          `json:"-"`
	Alias            string          `json:"alias"`
	Prefix           string          `json:"prefix"`
	PublicKey        *string         `json:"public_key"`
	PublicStorage    jsontext.Value  `json:"public_storage"`
	IPWhitelist      addressList     `json:"ip_whitelist"`
	RealmIDs         []string        `json:"realm_ids"` // in lower case; empty: all realms
	AllowNoRealm     bool            `json:"allow_no_realm"`
	Permissions      permission.Tree `json:"permissions"`
	ExpiresAt        *api.Time       `json:"expires_at"` // nil: never
	IsEnabled        bool            `json:"is_enabled"`
	VaultAccess      bool            `json:"vault_access"`
	VaultReadOnly    bool            `json:"vault_read_only"`
	VaultPrefixes    []string        `json:"vault_prefixes"` // of keys; empty: all keys
	EventAccess      bool            `json:"event_access"`
	CreatedByTokenID *string         `json:"created_by_token_id"`
	DelegationDepth  int             `json:"delegation_depth"`
	LastUsedAt       *api.Time       `json:"last_used_at"`
	LastUsedIP       *string         `json:"last_used_ip"`
	CreatedAt        api.Time        `json:"created_at"`
	UpdatedAt        api.Time        `json:"updated_at"`
}

// newToken returns a token with the defaults of the API: without permissions, vault access,
// restrictions and expiry.
func newToken(userID string, now time.Time) Token {
	token := Token{
		ID: id.New(now), UserID: userID, Prefix: tokenPrefix, AllowNoRealm: true, IsEnabled: true, EventAccess: true,
		CreatedAt: api.Time(now), UpdatedAt: api.Time(now),
	}
	token.Alias = "token-" + token.ID[16:]
	return token
}

// newSecret returns a new secret of a token and its hash. A plain SHA-256 is enough for the hash,
// because a secret has 24 random bytes and cannot be guessed.
func newSecret(tokenID string) (secret string, hash []byte) {
	var random [24]byte
	_, _ = rand.Read(random[:]) // crypto/rand.Read never returns an error
	secret = tokenPrefix + tokenID + "_" + hex.EncodeToString(random[:])
	sum := sha256.Sum256([]byte(secret))
	return secret, sum[:]
}

// vaultScoped reports whether the token is limited to a part of the vault. In the database such a
// token has scoped_vault_access in place of vault_access, which earlier releases read.
func (t *Token) vaultScoped() bool { return t.VaultReadOnly || len(t.VaultPrefixes) > 0 }

// expired reports whether the token itself has expired; its ancestors are not considered.
func (t *Token) expired(now time.Time) bool {
	return t.ExpiresAt != nil && !now.Before(time.Time(*t.ExpiresAt))
}

func errTokenNotFound() error {
	return apperr.New(apperr.NotFound, "TOKEN_NOT_FOUND", "Auth token not found")
}

// currentToken is the answer about the token that sent the request.
type currentToken struct {
	Token        Token        `json:"token"`
	Restrictions restrictions `json:"restrictions"`
}

// restrictions tells in which realms a token works. A token with realms works only in those,
// also if AllowNoRealm is true.
type restrictions struct {
	HasRealmRestrictions bool     `json:"has_realm_restrictions"`
	RequiresRealmScope   bool     `json:"requires_realm_scope"`
	AllowedRealmIDs      []string `json:"allowed_realm_ids"`
	AllowNoRealm         bool     `json:"allow_no_realm"`
	ActiveRealmID        *string  `json:"active_realm_id"`
}

// restrictionsOf returns the restrictions of a token with the rights r, for a request in the realm,
// "" for none.
func restrictionsOf(r rights, realm string) restrictions {
	result := restrictions{
		HasRealmRestrictions: len(r.realms) > 0, RequiresRealmScope: len(r.realms) > 0 || !r.allowNoRealm,
		AllowedRealmIDs: r.realms, AllowNoRealm: r.allowNoRealm,
	}
	if realm != "" {
		result.ActiveRealmID = &realm
	}
	return result
}
