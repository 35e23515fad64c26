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

// TokenPair is what a client carries: a short-lived access token and the refresh token that it is
// renewed with.
type TokenPair struct {
	Token            string   `json:"token"`
	RefreshToken     string   `json:"refreshToken"`
	ExpiresAt        api.Time `json:"expires_at"`
	ExpiresIn        int64    `json:"expires_in"` // seconds
	RefreshExpiresAt api.Time `json:"refresh_expires_at"`
	RefreshExpiresIn int64    `json:"refresh_expires_in"` // seconds
}

// Session is a session as its user sees it.
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

// Service is the domain of sessions and of their refresh tokens.
type Service struct {
	*core.Core
	cfg      Config
	keys     *signing.Keyring
	states   *sessionstate.Cache
	limiter  *ratelimit.Limiter
	lastSeen *lastSeen
}

func New(c *core.Core, cfg Config, keys *signing.Keyring, states *sessionstate.Cache,
	limiter *ratelimit.Limiter) *Service {
	return &Service{Core: c, cfg: cfg, keys: keys, states: states, limiter: limiter, lastSeen: newLastSeen(c)}
}

// FlushLastSeen writes down when the sessions were last seen that the gateways asked about.
func (s *Service) FlushLastSeen(ctx context.Context) error { return s.lastSeen.flush(ctx) }

// Active is a session whose refresh token was just made or found.
type Active struct {
	ID, UserID   string
	ExpiresAt    time.Time // of the refresh token
	RefreshToken string
}

// newSalt is what the successor of a new refresh token is made with.
func newSalt() []byte {
	salt := make([]byte, secrets.TokenBytes)
	_, _ = rand.Read(salt) // never fails
	return salt
}

// nextToken is the refresh token that follows token: HMAC-SHA-256 (RFC 2104) with the token as the
// key and the salt that the database keeps. Neither a holder of the token nor a reader of the
// database can tell it alone.
func nextToken(token string, salt []byte) string {
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write(salt)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Tokens signs the access token that goes with a session.
func (s *Service) Tokens(ctx context.Context, active Active) (TokenPair, error) {
	now := s.Now()
	expires := now.Add(s.cfg.AccessTTL)
	if active.ExpiresAt.Before(expires) {
		expires = active.ExpiresAt
	}
	token, err := s.keys.Sign(ctx,
		auth.Claims{UserID: active.UserID, SessionID: active.ID, TokenID: id.New(now), IssuedAt: now, ExpiresAt: expires})
	if err != nil {
		return TokenPair{}, apperr.ServiceUnavailable(err)
	}
	return TokenPair{
		Token: token, RefreshToken: active.RefreshToken, ExpiresAt: api.Time(expires),
		ExpiresIn:        core.CeilSeconds(expires.Sub(now)),
		RefreshExpiresAt: api.Time(active.ExpiresAt), RefreshExpiresIn: core.CeilSeconds(active.ExpiresAt.Sub(now)),
	}, nil
}

// NewActive makes a session that is not stored yet.
func (s *Service) NewActive(userID string, now time.Time) Active {
	return Active{
		ID: id.New(now), UserID: userID, RefreshToken: secrets.NewToken(),
		ExpiresAt: now.Add(min(s.cfg.RefreshTTL, s.cfg.MaxLifetime)),
	}
}

func errSessionNotFound() *apperr.Error {
	return apperr.New(apperr.NotFound, "SESSION_NOT_FOUND", "Session not found")
}
