package users

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/id"
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

// SignedIn is the answer to a sign-in. Server, Project and Container are nil for an account that
// has none.
type SignedIn struct {
	TokenPair
	ClientIP string `json:"client_ip"`
	User     User   `json:"user"`
	Provisioned
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

// sessions is the domain of signing in and staying signed in.
type sessions struct {
	*core
	keys      *keyring
	hasher    *hasher
	kinds     *hashKinds
	throttle  *throttle
	placement placement
	seen      *lastSeen
}

// liveSession is a session whose refresh token was just made or found.
type liveSession struct {
	ID, UserID string
	ExpiresAt  time.Time // of the refresh token
	Refresh    string
}

// opening is a session that somebody wants to open.
type opening struct {
	live    liveSession
	trusted string // the password hash that was proved: another one by then opens nothing; "" is not compared
	// the temporary token of a sign-in that has not proved the second factor, should there be one; "" when it has
	owed     string
	throttle []byte // names the count of failures that a right password ends; nil for none
	device   device
}

const tokenBytes = 32

// randomToken returns 256 random bits in base64url, for refresh tokens and the like.
func randomToken() string {
	b := make([]byte, tokenBytes)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// tokenHash is what the database keeps of a token.
func tokenHash(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
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
	expires := now.Add(s.cfg.Tokens.AccessTTL)
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
		ExpiresAt: now.Add(min(s.cfg.Tokens.RefreshTTL, s.cfg.Tokens.MaxSession)),
	}
}

// signIn opens a session for an account that has proved who it is, and answers with everything that
// a login answers with; or with a challenge, when it owes a second factor. A change of the password
// since it was proved is 401 INVALID_CREDENTIALS.
func (s *sessions) signIn(ctx context.Context, found account, o opening) (any, error) {
	now := s.now()
	o.live = s.fresh(found.ID, now)
	out, err := s.openAlone(ctx, o, now)
	if err != nil {
		return nil, err
	}
	if out.outcome == signInOwesCode {
		return TwoFactorChallenge{Requires2FA: true, TempToken: o.owed, Method: "totp"}, nil
	}
	if err := out.refusal(); err != nil {
		return nil, err
	}
	if !out.updatedAt.Equal(time.Time(found.UpdatedAt)) { // changed while the password was checked
		welcomed := found.Welcomed
		if found, err = accountByID(ctx, s.pool, found.ID); err != nil {
			return nil, err
		}
		found.Welcomed = welcomed // a mark that was made since is newer than what the opening saw of the server
	}
	return s.answer(ctx, o.live, found, out.Provisioned, o.device)
}

// refusal is why no session was opened, nil when one was.
func (o opened) refusal() error {
	switch o.outcome {
	case signInOpened:
		return nil
	case signInUnknown:
		return errUserNotFound()
	case signInBanned:
		return apperr.AccountBanned()
	case signInChanged:
		return errInvalidCredentials()
	}
	return fmt.Errorf("sign_in: outcome %q", o.outcome)
}

// renewAll makes the change that also makes, ends every session of the user for the reason event
// and opens a fresh one, in one transaction.
func (s *sessions) renewAll(ctx context.Context, userID, event string, d device, also func(tx dbtx) error) (SignedIn,
	error) {
	live, found, out, err := s.replaceAll(ctx, userID, event, d, also)
	if err != nil {
		return SignedIn{}, err
	}
	return s.answer(ctx, live, found, out.Provisioned, d)
}

func (s *sessions) answer(ctx context.Context, live liveSession, found account, had Provisioned, d device) (SignedIn,
	error) {
	pair, err := s.pair(ctx, live)
	if err != nil {
		return SignedIn{}, err
	}
	if !found.Welcomed {
		if err := s.welcome(ctx, live.UserID); err != nil {
			return SignedIn{}, err
		}
		had, err = s.placement.of(ctx, live.UserID)
	}
	return SignedIn{TokenPair: pair, ClientIP: d.Address, User: found.User, Provisioned: had}, err
}

// welcome offers a free server at the first sign-in. (At sign-up the time that it takes would tell
// a free address from one that is taken.) All that sign in until it is done do the same, and wait
// at the account for the one place; it is marked last, so that who finds the mark finds the place
// too.
func (s *sessions) welcome(ctx context.Context, userID string) error {
	region, err := signupRegion(ctx, s.pool, userID)
	if err != nil {
		return err
	}
	s.placement.atSignup(ctx, userID, region)
	return markWelcomed(ctx, s.pool, userID)
}

func errSessionNotFound() *apperr.Error {
	return apperr.New(apperr.NotFound, "SESSION_NOT_FOUND", "Session not found")
}
