// Package device provides device authorization (RFC 8628, in the shape of the official clients): a
// device without a browser shows a code, a person approves it in a browser, and the device gets a
// session. It serves /auth/device. Start reading at Service.
package device

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/netaddr"
	"github.com/realmgate/realmgate/pkg/ratelimit"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/request"
	"github.com/realmgate/realmgate/users-svc/internal/secrets"
	"github.com/realmgate/realmgate/users-svc/internal/signin"
)

// Service issues device codes, takes the decisions of people about them, and signs approved devices
// in.
type Service struct {
	*core.Core
	cfg       Config
	signIns   *signin.Service
	limiter   *ratelimit.Limiter
	publicURL string // where people reach the product, without a final slash
}

// New returns the domain of device authorization. The page where people enter the code is
// publicURL/device.
func New(signIns *signin.Service, limiter *ratelimit.Limiter, cfg Config, publicURL string) *Service {
	return &Service{Core: signIns.Core, cfg: cfg, signIns: signIns, limiter: limiter, publicURL: publicURL}
}

const (
	// interval is the least time between two polls of a device.
	interval = 5 * time.Second
	// pollTolerance is how much earlier a poll may come, because timers are not exact.
	pollTolerance = 500 * time.Millisecond
)

// wrongCodeRate bounds the wrong user codes of one person. With 20^8 user codes, that leaves no
// chance to guess one that a device is waiting for (RFC 8628 section 5.1).
var wrongCodeRate = ratelimit.Rate{Count: 20, Period: time.Minute}

// begin issues the codes for a device. Too many from one network are 429 RATE_LIMITED.
func (s *Service) begin(ctx context.Context, in codeRequest, device request.Device) (codeAnswer, error) {
	key := "device-code:" + netaddr.NetworkOf(device.Address)
	if r := s.limiter.Allow(ctx, key, s.cfg.Rate, 1); !r.Allowed {
		return codeAnswer{}, apperr.RateLimitExceeded(r.RetryAfter).WithLimit(s.cfg.Rate.Count)
	}
	now := s.Now()
	for {
		deviceCode, userCode := newDeviceCode(), newUserCode()
		err := s.insert(ctx, deviceCode, userCode, in, device.Address, now)
		if errors.Is(err, errUserCodeTaken) {
			continue
		}
		page := s.publicURL + "/device"
		return codeAnswer{
			DeviceCode: deviceCode, UserCode: userCode, VerificationURI: page,
			VerificationURIComplete: page + "?user_code=" + userCode,
			Interval:                int64(interval / time.Second), ExpiresIn: core.CeilSeconds(s.cfg.CodeTTL),
		}, err
	}
}

// token signs a device in whose code was approved, once. Until then, and when the code is void, the
// error is 400 with the error code of RFC 8628 section 3.5 in its data.
//
// A void code is reported as expired, so that the client offers to begin again: its time is over,
// or the session that approved it has ended.
func (s *Service) token(ctx context.Context, deviceCode, verifier string, device request.Device) (any, error) {
	hash := secrets.HashToken(deviceCode)
	code, err := s.poll(ctx, hash)
	if err == nil {
		err = code.check(verifier, s.Now())
	}
	if err != nil {
		return nil, err
	}
	user, err := account.ByID(ctx, s.Pool, code.approverID)
	if err != nil {
		return nil, deviceError(err)
	}
	device.Client = code.client
	result, err := s.signIns.SignIn(ctx, user, signin.NewSession{
		Device: device, Unconfirmed: true,
		Redeem: func(ctx context.Context, tx core.DBTX) error { return redeem(ctx, tx, hash, s.Now()) },
	})
	return result, deviceError(err)
}

// check decides about a poll with the verifier at the time now. Nil means that the device may sign
// in.
func (c polledCode) check(verifier string, now time.Time) error {
	switch {
	case c.challenge != "" && !matchesChallenge(verifier, c.challenge):
		return errInvalidGrant()
	case c.denied:
		return errAccessDenied()
	case !c.expiresAt.After(now):
		return errExpiredToken()
	case c.approverID != "":
		return nil
	case c.tooFast:
		return errSlowDown()
	}
	return errPending()
}

// deviceError maps the refusal of a sign-in to the errors that a device knows.
func deviceError(err error) error {
	switch {
	case apperr.Is(err, "ACCOUNT_BANNED"):
		return errAccessDenied()
	case apperr.Is(err, "USER_NOT_FOUND"):
		return errExpiredToken()
	}
	return err
}

// limited returns the result of find for a user code, which is 404 DEVICE_CODE_NOT_FOUND for a
// wrong one. After too many wrong codes of the user all are 429 RATE_LIMITED.
func (s *Service) limited(ctx context.Context, userID string, find func() error) error {
	key := "device-user-code:" + userID
	r := s.limiter.Allow(ctx, key, wrongCodeRate, 0)
	if !r.Allowed {
		return errTooManyCodes(r)
	}
	err := find()
	if apperr.Is(err, "DEVICE_CODE_NOT_FOUND") {
		if r := s.limiter.Allow(ctx, key, wrongCodeRate, 1); !r.Allowed {
			return errTooManyCodes(r)
		}
	}
	return err
}

// codeRequest is the body of POST /auth/device/code.
type codeRequest struct{ ClientName, Client, Challenge *string }

// codeAnswer holds the codes for a device. It is the only place where they are in clear.
type codeAnswer struct {
	DeviceCode              string `json:"device_code"`
	UserCode                string `json:"user_code"`
	VerificationURI         string `json:"verification_uri"`
	VerificationURIComplete string `json:"verification_uri_complete"`
	Interval                int64  `json:"interval"`   // in seconds
	ExpiresIn               int64  `json:"expires_in"` // in seconds
}

// waitingDevice describes the device that waits for a decision.
type waitingDevice struct {
	ClientName *string  `json:"client_name"`
	IPAddress  string   `json:"ip_address"`
	CreatedAt  api.Time `json:"created_at"`
}

// newDeviceCode returns 32 random bytes in hexadecimal.
func newDeviceCode() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func errTooManyCodes(r ratelimit.Result) error {
	return apperr.RateLimitExceeded(r.RetryAfter).WithLimit(wrongCodeRate.Count)
}

func errCodeNotFound() *apperr.Error {
	return apperr.New(apperr.NotFound, "DEVICE_CODE_NOT_FOUND", "No device is waiting with this code")
}

func errPending() *apperr.Error {
	return errToken("AUTHORIZATION_PENDING", "authorization_pending", "The device is not approved yet")
}

func errSlowDown() *apperr.Error {
	return errToken("SLOW_DOWN", "slow_down", "The device asks more often than the interval allows")
}

func errAccessDenied() *apperr.Error {
	return errToken("ACCESS_DENIED", "access_denied", "The device was denied")
}

func errExpiredToken() *apperr.Error {
	return errToken("EXPIRED_TOKEN", "expired_token", "The device code has expired")
}

func errInvalidGrant() *apperr.Error {
	return errToken("INVALID_GRANT", "invalid_grant", "The device code is unknown or used, or the code verifier is wrong")
}

// errToken returns an error with its code of RFC 8628 section 3.5 or RFC 6749 section 5.2 in the
// data, where the official clients read it.
func errToken(code, oauthError, message string) *apperr.Error {
	return apperr.New(apperr.Invalid, code, message).WithData(map[string]string{"error": oauthError})
}
