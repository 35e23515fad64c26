// Package sessionstate provides the state of sessions and auth tokens that users-svc shares with
// the gateways: the State, its cache in Redis, and the announcement that a user's states changed.
// Start reading at State and Cache.
//
// PostgreSQL holds the truth. Redis only saves the gateways requests to users-svc, and may be
// unreachable. Every change of a user (ban, logout, password, flags, tokens) raises that user's
// Version in the same transaction. A state with a lower version than the user's lowest valid
// version is stale and is not used. This closes the race between a reader that fills the cache and
// a writer that invalidates it.
package sessionstate

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/realmgate/realmgate/pkg/auth"
)

// The subjects on which users-svc announces a Change. A sealed announcement can be made only with
// the keys of the installation, and OpenChange accepts no other. Subject carries the plain one, for
// gateways of the previous release; it goes with the next release.
const (
	Subject       = "realmgate.sessions.changed"
	SealedSubject = "realmgate.sealed.sessions.changed"
)

// State holds the facts about a session or token that a gateway checks before it forwards a
// request.
type State struct {
	Alive     bool      `json:"alive"` // false: revoked, expired or never there
	UserID    string    `json:"user_id"`
	SessionID string    `json:"session_id,omitempty"` // set for a JWT session
	Admin     bool      `json:"admin"`
	Banned    bool      `json:"banned"`
	Version   int64     `json:"version"`             // of the user, when the state was read
	ExpiresAt time.Time `json:"expires_at,omitzero"` // an auth token's own end; zero: none
	Token     *Token    `json:"token,omitempty"`     // set for an auth token
	// VaultQuota is the user's own quota in bytes, 0 for the default of vault-svc, -1 for a user
	// who may store nothing.
	VaultQuota int64 `json:"vault_quota,omitempty"`
	// AdminNeeds2FA is set for an admin who may not administer without a second factor. Admin is
	// false then.
	AdminNeeds2FA bool `json:"admin_needs_2fa,omitempty"`
}

// Token is the part of a State that only auth tokens have.
type Token struct {
	ID          string     `json:"id"`
	Grant       auth.Grant `json:"grant"`
	IPWhitelist []string   `json:"ip_whitelist,omitempty"` // addresses and CIDR blocks; empty: any
}

// Change announces that the states of a user older than Version are stale.
type Change struct {
	UserID  string `json:"user_id"`
	Version int64  `json:"version"`
	Sealed  bool   `json:"sealed,omitempty"` // set in a plain announcement that is also sent sealed
}

// The lifetimes in Redis. A state lives only seconds, which bounds the delay of a revocation when
// users-svc cannot reach Redis at the moment of the change although the gateways can. The lowest
// valid version must outlive every state.
const (
	stateTTL   = 5 * time.Second
	versionTTL = time.Minute
)

// Cache holds copies of states in Redis. Every method fails fast; the callers then work without it.
//
// Write access to Redis must not be enough to grant access. A copy is valid only when it was sealed
// under the same name with the keys that users-svc and the gateways share, and is not older than
// stateTTL.
type Cache struct {
	rdb  redis.UniversalClient
	keys *auth.InternalKeys
	now  func() time.Time
}

// NewCache returns a cache in rdb whose states are sealed with keys.
func NewCache(rdb redis.UniversalClient, keys *auth.InternalKeys) *Cache {
	return &Cache{rdb: rdb, keys: keys, now: time.Now}
}

// copied is the content of a copy in Redis, where it is sealed.
type copied struct {
	State
	Until int64 `json:"until"` // Unix milliseconds at which the copy expires
}

// ErrMiss means that Redis has no fresh state, so the caller must ask users-svc.
var ErrMiss = errors.New("session state not cached")

// SessionKey returns the key of a session's state in Redis.
func SessionKey(sessionID string) string { return "rg:state:s:" + sessionID }

// TokenKey returns the key of an auth token's state in Redis; hash is the hex SHA-256 of the whole
// hdy_ token.
func TokenKey(hash string) string { return "rg:state:t:" + hash }

func versionKey(userID string) string { return "rg:version:" + userID }

// Get returns the state under key, ErrMiss when there is no fresh one.
func (c *Cache) Get(ctx context.Context, key string) (State, error) {
	raw, err := c.rdb.Get(ctx, key).Bytes()
	if errors.Is(err, redis.Nil) {
		return State{}, ErrMiss
	}
	if err != nil {
		return State{}, err
	}
	s, ok := c.open(key, raw)
	if !ok {
		return State{}, ErrMiss
	}
	lowest, err := c.rdb.Get(ctx, versionKey(s.UserID)).Int64()
	switch {
	case errors.Is(err, redis.Nil):
		return s, nil
	case err != nil:
		return State{}, err
	case s.Version < lowest:
		return State{}, ErrMiss
	}
	return s, nil
}

// open returns the state in a copy, false when the copy is not valid.
func (c *Cache) open(key string, raw []byte) (State, bool) {
	data, ok := c.keys.Open(key, raw)
	if !ok {
		return State{}, false
	}
	var s copied
	if err := json.Unmarshal(data, &s); err != nil || c.now().UnixMilli() >= s.Until {
		return State{}, false
	}
	return s.State, true
}

// Put stores a state that was just read from PostgreSQL, with an absolute time of expiry. With a
// lifetime, a Redis that had stalled would count from the moment when it continues, and a revoked
// session would stay valid for longer. (A wrong clock of Redis costs hits, or seconds.)
func (c *Cache) Put(ctx context.Context, key string, s State) error {
	until := c.now().Add(stateTTL)
	data, err := json.Marshal(copied{State: s, Until: until.UnixMilli()})
	if err != nil {
		return err
	}
	return c.rdb.SetArgs(ctx, key, c.keys.Seal(key, data), redis.SetArgs{ExpireAt: until}).Err()
}

// raise stores the higher of two versions, because the announcements of two changes may arrive in
// either order.
const raise = `local v = tonumber(redis.call("GET", KEYS[1]) or "0")
if tonumber(ARGV[1]) > v then v = tonumber(ARGV[1]) end
redis.call("SET", KEYS[1], string.format("%.0f", v), "EX", ARGV[2])
return 1`

// Invalidate turns every cached state of the user that is older than ch.Version into a miss.
func (c *Cache) Invalidate(ctx context.Context, ch Change) error {
	return c.rdb.Eval(ctx, raise, []string{versionKey(ch.UserID)}, strconv.FormatInt(ch.Version, 10),
		int(versionTTL.Seconds())).Err()
}
