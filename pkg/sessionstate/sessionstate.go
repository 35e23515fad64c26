// Package sessionstate owns what users-svc tells the gateways about sessions and auth tokens: the
// State, its copy in Redis, and the announcement that a user's states changed. Start reading at
// State and Cache.
//
// PostgreSQL holds the truth; Redis only saves the gateways from asking users-svc, and may be away.
// Every change of a user (ban, logout, password, flags, tokens) raises that user's Version in the
// same transaction; a state with a lower version than the user's lowest valid one is stale and is
// not used, which closes the race between a reader that fills the cache and a writer that empties
// it.
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

// Where users-svc announces a Change. What is sealed counts only for the gateways of the same
// installation, and nobody else can make it. The plain one is for gateways of the previous release,
// and goes with the next.
const (
	Subject       = "realmgate.sessions.changed"
	SealedSubject = "realmgate.sealed.sessions.changed"
)

// State is what a gateway must know before it lets a request through.
type State struct {
	Alive     bool      `json:"alive"` // false: revoked, expired or never there
	UserID    string    `json:"user_id"`
	SessionID string    `json:"session_id,omitempty"` // of a JWT session
	Admin     bool      `json:"admin"`
	Banned    bool      `json:"banned"`
	Version   int64     `json:"version"`             // of the user, when the state was read
	ExpiresAt time.Time `json:"expires_at,omitzero"` // an auth token's own end; zero: none
	Token     *Token    `json:"token,omitempty"`     // set for an auth token
	// VaultQuota is the user's own quota in bytes, 0 for the default of vault-svc, -1 for none at
	// all.
	VaultQuota int64 `json:"vault_quota,omitempty"`
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
	Sealed  bool   `json:"sealed,omitempty"` // of a plain one: it is announced as a sealed one too
}

// How long the copies in Redis live. A state lives only seconds: that bounds how long a revocation
// can go unseen when users-svc cannot reach Redis at the moment of the change although the gateways
// can. The lowest valid version must outlive every state.
const (
	stateTTL   = 5 * time.Second
	versionTTL = time.Minute
)

// Cache is the copy in Redis. Every method fails fast; its users then go on without it.
//
// Whoever may write to Redis must not be able to let anybody in: a copy counts only when it was
// sealed with the keys that users-svc and the gateways share, under the same name, and is not older
// than stateTTL.
type Cache struct {
	rdb  redis.UniversalClient
	keys *auth.InternalKeys
	now  func() time.Time
}

// NewCache returns a cache in rdb whose states are sealed with keys.
func NewCache(rdb redis.UniversalClient, keys *auth.InternalKeys) *Cache {
	return &Cache{rdb: rdb, keys: keys, now: time.Now}
}

// copied is what lies in Redis, sealed.
type copied struct {
	State
	Until int64 `json:"until"` // Unix milliseconds after which it does not count
}

// ErrMiss says that Redis has no fresh state; ask users-svc.
var ErrMiss = errors.New("session state not cached")

// SessionKey and TokenKey name a state: by session id, or by the hex SHA-256 of a whole hdy_ token.
func SessionKey(sessionID string) string { return "rg:state:s:" + sessionID }

// TokenKey is described at SessionKey.
func TokenKey(hash string) string { return "rg:state:t:" + hash }

func versionKey(userID string) string { return "rg:version:" + userID }

// Get returns the state under key, ErrMiss when there is none that is fresh.
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

// open returns the state in a copy, false for one that does not count.
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

// Put keeps a state that was just read from PostgreSQL. Redis is told when it ends rather than how
// long it lives: a Redis that stood still would count from when it goes on, and let in for so much
// longer who was shut out meanwhile. (A clock of Redis that is wrong costs hits, or seconds.)
func (c *Cache) Put(ctx context.Context, key string, s State) error {
	until := c.now().Add(stateTTL)
	data, err := json.Marshal(copied{State: s, Until: until.UnixMilli()})
	if err != nil {
		return err
	}
	return c.rdb.SetArgs(ctx, key, c.keys.Seal(key, data), redis.SetArgs{ExpireAt: until}).Err()
}

// raise keeps the higher of two versions: announcements of two changes may arrive in either order.
const raise = `local v = tonumber(redis.call("GET", KEYS[1]) or "0")
if tonumber(ARGV[1]) > v then v = tonumber(ARGV[1]) end
redis.call("SET", KEYS[1], string.format("%.0f", v), "EX", ARGV[2])
return 1`

// Invalidate makes every cached state of the user that is older than ch.Version a miss.
func (c *Cache) Invalidate(ctx context.Context, ch Change) error {
	return c.rdb.Eval(ctx, raise, []string{versionKey(ch.UserID)}, strconv.FormatInt(ch.Version, 10),
		int(versionTTL.Seconds())).Err()
}
