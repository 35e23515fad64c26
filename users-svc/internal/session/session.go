// Package session provides sessions, their refresh tokens, and the session states that gateways ask
// for. It serves /users/auth/refresh, /users/auth/logout and /users/me/sessions. Start reading at
// Service.
package session

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/ratelimit"
	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/secrets"
	"github.com/realmgate/realmgate/users-svc/internal/signing"
)

// Service opens, refreshes, lists and ends sessions, and answers the gateways' questions about
// them.
type Service struct {
	*core.Core
	cfg      Config
	keys     *signing.Keyring
	states   *sessionstate.Cache
	limiter  *ratelimit.Limiter
	lastSeen *lastSeen
}

// New returns the domain of sessions. keys signs access tokens, states holds the copies in Redis
// that gateways read, and limiter bounds the refreshes of a session.
func New(c *core.Core, cfg Config, keys *signing.Keyring, states *sessionstate.Cache,
	limiter *ratelimit.Limiter) *Service {
	return &Service{Core: c, cfg: cfg, keys: keys, states: states, limiter: limiter, lastSeen: newLastSeen(c)}
}

// NewActive returns a session of the user, with a new id and refresh token, that is not stored yet.
func (s *Service) NewActive(userID string, now time.Time) Active {
	return Active{
		ID: id.New(now), UserID: userID, RefreshToken: secrets.NewToken(),
		ExpiresAt: now.Add(min(s.cfg.RefreshTTL, s.cfg.MaxLifetime)),
	}
}

// Tokens signs an access token for a session and returns it with the session's refresh token. The
// access token never outlives the refresh token. An error of the signing key is 503
// SERVICE_UNAVAILABLE.
func (s *Service) Tokens(ctx context.Context, active Active) (TokenPair, error) {
	now := s.Now()
	expires := now.Add(s.cfg.AccessTTL)
	if active.ExpiresAt.Before(expires) {
		expires = active.ExpiresAt
	}
	token, err := s.keys.Sign(ctx,
		auth.Claims{UserID: active.UserID, SessionID: active.ID, TokenID: id.New(now), IssuedAt: now,
			ExpiresAt: expires})
	if err != nil {
		return TokenPair{}, apperr.ServiceUnavailable(err)
	}
	return TokenPair{
		Token: token, RefreshToken: active.RefreshToken, ExpiresAt: api.Time(expires),
		ExpiresIn:        core.CeilSeconds(expires.Sub(now)),
		RefreshExpiresAt: api.Time(active.ExpiresAt), RefreshExpiresIn: core.CeilSeconds(active.ExpiresAt.Sub(now)),
	}, nil
}

// FlushLastSeen stores when the sessions were last used that gateways asked about since the
// previous flush.
func (s *Service) FlushLastSeen(ctx context.Context) error { return s.lastSeen.flush(ctx) }

// Active is a live session with its current refresh token in clear.
type Active struct {
	ID, UserID   string
	ExpiresAt    time.Time // of the refresh token
	RefreshToken string
	Unconfirmed  bool // the sign-in proved neither a password nor a one-time code; see ConfirmedSince
}

// TokenPair is the answer to a login or refresh: a short-lived access token, and the refresh token
// that renews it.
type TokenPair struct {
	Token            string   `json:"token"`
	RefreshToken     string   `json:"refreshToken,omitempty"` // "" for a cookie that stays
	ExpiresAt        api.Time `json:"expires_at"`
	ExpiresIn        int64    `json:"expires_in"` // in seconds
	RefreshExpiresAt api.Time `json:"refresh_expires_at"`
	RefreshExpiresIn int64    `json:"refresh_expires_in"` // in seconds
}

// listedSession is a session as its user sees it in the list of sessions.
type listedSession struct {
	ID         string   `json:"id"`
	Client     *string  `json:"client"`
	UserAgent  string   `json:"user_agent"`
	IPAddress  string   `json:"ip_address"`
	Current    bool     `json:"current"`
	CreatedAt  api.Time `json:"created_at"`
	LastSeenAt api.Time `json:"last_seen_at"`
	ExpiresAt  api.Time `json:"expires_at"`
}

// newSalt returns the random salt from which the next refresh token of a session is derived, see
// nextToken.
func newSalt() []byte {
	salt := make([]byte, secrets.TokenBytes)
	_, _ = rand.Read(salt) // never fails
	return salt
}

// nextToken returns the refresh token that follows token: HMAC-SHA-256 (RFC 2104) of the salt with
// the token as the key, in base64url. The database keeps the salt and only a hash of the token, so
// neither the client nor a reader of the database can compute the next token alone.
func nextToken(token string, salt []byte) string {
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write(salt)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func errSessionNotFound() *apperr.Error {
	return apperr.New(apperr.NotFound, "SESSION_NOT_FOUND", "Session not found")
}
