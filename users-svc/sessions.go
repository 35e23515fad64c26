package users

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
type Session struct {
	ID         string   `json:"id"`
	Client     *string  `json:"client"`
	UserAgent  string   `json:"user_agent"`
	IPAddress  string   `json:"ip_address"`
	Current    bool     `json:"current"`
	CreatedAt  api.Time `json:"created_at"`
	LastSeenAt api.Time `json:"last_seen_at"`
	ExpiresAt  api.Time `json:"expires_at"`
}

// sessions is the domain of sessions and of their refresh tokens.
type sessions struct {
	*core
	cfg     sessionConfig
	keys    *keyring
	states  *sessionstate.Cache
	limiter *ratelimit.Limiter
	seen    *lastSeen
}

func newSessions(c *core, cfg sessionConfig, keys *keyring, states *sessionstate.Cache,
	limiter *ratelimit.Limiter) *sessions {
	return &sessions{core: c, cfg: cfg, keys: keys, states: states, limiter: limiter, seen: newLastSeen(c)}
}

// maxEnd is when a session that is opened now ends however busy it is.
func (s *sessions) maxEnd(now time.Time) time.Time { return now.Add(s.cfg.MaxLifetime) }

// FlushLastSeen writes down when the sessions were last seen that the gateways asked about.
func (s *sessions) FlushLastSeen(ctx context.Context) error { return s.seen.write(ctx) }

// liveSession is a session whose refresh token was just made or found.
type liveSession struct {
	ID, UserID string
	ExpiresAt  time.Time // of the refresh token
	Refresh    string
}

// newSalt is what the successor of a new refresh token is made with.
func newSalt() []byte {
	salt := make([]byte, tokenBytes)
	_, _ = rand.Read(salt) // never fails
	return salt
}

// successor is the refresh token that follows token: HMAC-SHA-256 (RFC 2104) with the token as the
// key and the salt that the database keeps. Neither a holder of the token nor a reader of the
// database can tell it alone.
func successor(token string, salt []byte) string {
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write(salt)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// pair signs the access token that goes with a session.
func (s *sessions) pair(ctx context.Context, live liveSession) (TokenPair, error) {
	now := s.now()
	expires := now.Add(s.cfg.AccessTTL)
	if live.ExpiresAt.Before(expires) {
		expires = live.ExpiresAt
	}
	token, err := s.keys.sign(ctx,
		auth.Claims{UserID: live.UserID, SessionID: live.ID, TokenID: id.New(now), IssuedAt: now, ExpiresAt: expires})
	if err != nil {
		return TokenPair{}, apperr.ServiceUnavailable(err)
	}
	return TokenPair{
		Token: token, RefreshToken: live.Refresh, ExpiresAt: api.Time(expires), ExpiresIn: seconds(expires.Sub(now)),
		RefreshExpiresAt: api.Time(live.ExpiresAt), RefreshExpiresIn: seconds(live.ExpiresAt.Sub(now)),
	}, nil
}

// seconds rounds up: a token that expires within the second still lives.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// fresh makes a session that is not stored yet.
func (s *sessions) fresh(userID string, now time.Time) liveSession {
	return liveSession{
		ID: id.New(now), UserID: userID, Refresh: randomToken(),
		ExpiresAt: now.Add(min(s.cfg.RefreshTTL, s.cfg.MaxLifetime)),
	}
}

func errSessionNotFound() *apperr.Error {
	return apperr.New(apperr.NotFound, "SESSION_NOT_FOUND", "Session not found")
}
