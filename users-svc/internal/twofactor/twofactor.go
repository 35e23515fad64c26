// Package twofactor provides the second factor: time-based one-time passwords (TOTP, RFC 6238) and
// backup codes, and the confirmation of a session by them. It serves /users/auth/2fa and
// /users/me/confirm. Start reading at Service.
package twofactor

import (
	"context"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/apitoken"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/request"
	"github.com/realmgate/realmgate/users-svc/internal/secrets"
	"github.com/realmgate/realmgate/users-svc/internal/session"
	"github.com/realmgate/realmgate/users-svc/internal/signin"
)

// Service manages the second factors of accounts.
type Service struct {
	*core.Core
	accounts *account.Service
	signIns  *signin.Service
	sealer   *secrets.Sealer
	issuer   string // shown by authenticator apps
}

// New returns the domain of second factors. sealer seals the TOTP secrets, and authenticator apps
// show issuer as the name of the service.
func New(accounts *account.Service, signIns *signin.Service, sealer *secrets.Sealer, issuer string) *Service {
	return &Service{Core: accounts.Core, accounts: accounts, signIns: signIns, sealer: sealer, issuer: issuer}
}

// setup stores a new secret and backup codes, which replace those of a setup that was never
// verified. It returns 409 TWOFACTOR_ALREADY_ENABLED when the second factor is enabled.
func (s *Service) setup(ctx context.Context, userID, password string, device request.Device) (setupAnswer, error) {
	if factor, exists, err := s.read(ctx, s.Pool, userID); err != nil || exists && factor.enabledAt != nil {
		return setupAnswer{}, orEnabled(err)
	}
	if _, err := s.accounts.VerifyPassword(ctx, userID, password, device); err != nil {
		return setupAnswer{}, err
	}
	user, err := account.ByID(ctx, s.Pool, userID)
	if err != nil {
		return setupAnswer{}, err
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: s.issuer, AccountName: accountLabel(user.User),
		Period: codePeriod})
	if err != nil {
		return setupAnswer{}, err
	}
	picture, err := qrCode(key)
	if err != nil {
		return setupAnswer{}, err
	}
	factor := secondFactor{secret: key.Secret(), sealed: s.sealer.Seal([]byte(key.Secret()), AssociatedData(userID))}
	codes, hashes := factor.newBackupCodes()
	return setupAnswer{QRCode: picture, ManualEntryKey: factor.secret, BackupCodes: codes},
		s.storeSetup(ctx, userID, factor, hashes)
}

// enable turns the second factor on after a first correct code of the authenticator. It ends all
// sessions and answers with a new one. With revokeTokens the auth tokens, which need no second
// factor, are deleted too.
func (s *Service) enable(ctx context.Context, userID, code string, revokeTokens bool,
	device request.Device) (enableAnswer, error) {
	factor, err := s.useCode(ctx, userID, device, codeAttempt{code: code, setup: true})
	if err != nil {
		return enableAnswer{}, err
	}
	now := s.Now()
	var revoked apitoken.RevokedTokens
	result, err := s.signIns.ReplaceAll(ctx, userID, history.TwoFactorEnabled, device, func(tx core.DBTX) (err error) {
		if revokeTokens {
			if revoked.TokensRevoked, err = apitoken.RevokeAll(ctx, tx, userID, device, now); err != nil {
				return err
			}
		}
		return enableFactor(ctx, tx, userID, factor.sealed, now)
	})
	changed := changeAnswer{Enabled: true, EnabledAt: api.TimePtr(&now), SessionsRevoked: true,
		TokenPair: result.TokenPair}
	return enableAnswer{changed, revoked}, err
}

// disable deletes the second factor, ends all sessions and answers with a new one.
func (s *Service) disable(ctx context.Context, userID, password, code string,
	device request.Device) (changeAnswer, error) {
	if err := s.verifyBoth(ctx, userID, password, code, device); err != nil {
		return changeAnswer{}, err
	}
	result, err := s.signIns.ReplaceAll(ctx, userID, history.TwoFactorDisabled, device,
		func(tx core.DBTX) error { return deleteFactor(ctx, tx, userID) })
	return changeAnswer{SessionsRevoked: true, TokenPair: result.TokenPair}, err
}

// verifyBoth verifies the password and then a code. The password comes first, so that a wrong one
// uses up no code.
func (s *Service) verifyBoth(ctx context.Context, userID, password, code string, device request.Device) error {
	if factor, exists, err := s.read(ctx, s.Pool, userID); err != nil || !exists || factor.enabledAt == nil {
		return orNotEnabled(err)
	}
	if _, err := s.accounts.VerifyPassword(ctx, userID, password, device); err != nil {
		return err
	}
	_, err := s.useCode(ctx, userID, device, codeAttempt{code: code})
	return err
}

// regenerate replaces the backup codes and returns the new ones.
func (s *Service) regenerate(ctx context.Context, userID, password, code string,
	device request.Device) ([]string, error) {
	if err := s.verifyBoth(ctx, userID, password, code, device); err != nil {
		return nil, err
	}
	return s.replaceBackupCodes(ctx, userID, device)
}

// setTokenGate sets whether sessions need a code to create and change auth tokens. Turning this off
// needs the password and a code.
func (s *Service) setTokenGate(ctx context.Context, userID string, on bool, password, code string,
	device request.Device) error {
	if !on {
		if err := s.verifyBoth(ctx, userID, password, code, device); err != nil {
			return err
		}
	}
	return s.writeTokenGate(ctx, userID, on, device)
}

// completeLogin exchanges a temporary token and a code for a session. The token stays valid after a
// wrong code and is deleted after a correct one.
func (s *Service) completeLogin(ctx context.Context, token, code string, device request.Device) (any, error) {
	hash := secrets.HashToken(token)
	pending, err := s.signIns.FindPending(ctx, hash)
	if err != nil {
		return nil, err
	}
	if _, err := s.useCode(ctx, pending.UserID, device, codeAttempt{code: code, pendingHash: hash}); err != nil {
		return nil, err
	}
	user, err := account.ByID(ctx, s.Pool, pending.UserID)
	if err != nil {
		return nil, err
	}
	result, err := s.signIns.SignIn(ctx, user, signin.NewSession{VerifiedHash: pending.PasswordHash, Device: device})
	if apperr.Is(err, "INVALID_CREDENTIALS") {
		err = apperr.InvalidToken() // the password was changed after the token was issued
	}
	return result, err
}

// setupAnswer holds the secret for an authenticator app and the backup codes. Both are shown only
// here.
type setupAnswer struct {
	QRCode         string   `json:"qr_code"` // data URI of a PNG
	ManualEntryKey string   `json:"manual_entry_key"`
	BackupCodes    []string `json:"backup_codes"`
}

// statusAnswer is the state of an account's second factor.
type statusAnswer struct {
	Enabled              bool      `json:"enabled"`
	Verified             bool      `json:"verified"`
	EnabledAt            *api.Time `json:"enabled_at"`
	BackupCodesRemaining int       `json:"backup_codes_remaining"`
	RequireForTokens     bool      `json:"require_for_tokens"`
}

// changeAnswer answers a change that ended all sessions, with the tokens of the new one.
type changeAnswer struct {
	Enabled         bool      `json:"enabled"`
	EnabledAt       *api.Time `json:"enabled_at"`
	SessionsRevoked bool      `json:"sessions_revoked"`
	session.TokenPair
}

// enableAnswer answers the enabling of the second factor.
type enableAnswer struct {
	changeAnswer
	apitoken.RevokedTokens
}

func orEnabled(err error) error {
	if err != nil {
		return err
	}
	return errAlreadyEnabled()
}

func orNotEnabled(err error) error {
	if err != nil {
		return err
	}
	return errNotEnabled()
}

func errWrongCode(remaining int) *apperr.Error {
	return apperr.New(apperr.Unauthenticated, "INVALID_OTP_CODE",
		"Invalid one-time code").WithData(map[string]int{"attempts_remaining": remaining})
}

func errCodeLocked(left time.Duration) *apperr.Error {
	return apperr.New(apperr.RateLimited, "TWOFACTOR_RATE_LIMIT",
		"Too many invalid codes").WithRetryAfter(max(left, time.Second))
}

func errAlreadyEnabled() *apperr.Error {
	return apperr.New(apperr.Conflict, "TWOFACTOR_ALREADY_ENABLED", "Two-factor authentication is already enabled")
}

func errNotEnabled() *apperr.Error {
	return apperr.New(apperr.Conflict, "TWOFACTOR_NOT_ENABLED", "Two-factor authentication is not enabled")
}

func errSetupRequired() *apperr.Error {
	return apperr.New(apperr.Conflict, "TWOFACTOR_SETUP_REQUIRED", "Two-factor setup has not been started")
}
