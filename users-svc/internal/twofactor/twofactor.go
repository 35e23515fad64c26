// Package twofactor provides the second factor: time-based one-time passwords (RFC 6238) and backup
// codes, and the confirmation of a session by them. It serves /users/auth/2fa and /users/me/confirm.
// Start reading at Service.
package twofactor

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
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

// TwoFactorSetup is what somebody needs to add the account to an authenticator, and the backup
// codes; all of it is shown once.
type setupAnswer struct {
	QRCode         string   `json:"qr_code"` // a data URI of a PNG
	ManualEntryKey string   `json:"manual_entry_key"`
	BackupCodes    []string `json:"backup_codes"`
}

// TwoFactorStatus is the state of an account's second factor.
type statusAnswer struct {
	Enabled              bool      `json:"enabled"`
	Verified             bool      `json:"verified"`
	EnabledAt            *api.Time `json:"enabled_at"`
	BackupCodesRemaining int       `json:"backup_codes_remaining"`
	RequireForTokens     bool      `json:"require_for_tokens"`
}

// TwoFactorChanged answers a change that ended all other sessions, with the pair of the one that
// took their place.
type changeAnswer struct {
	Enabled         bool      `json:"enabled"`
	EnabledAt       *api.Time `json:"enabled_at"`
	SessionsRevoked bool      `json:"sessions_revoked"`
	session.TokenPair
}

// TwoFactorEnabled answers that a second factor was enabled.
type enableAnswer struct {
	changeAnswer
	apitoken.RevokedTokens
}

const codeSkew = 1 // steps that a clock may be off, either way

const maxWrongCodes = 5 // then the second factor is locked

const lockoutPeriod = 15 * time.Minute

const backupCodes = 10

const backupAlphabet = "abcdefghjkmnpqrstuvwxyz23456789" // nothing that looks like something else

const backupLength = 10

const qrPixels = 256

// Service is the domain of the second factor: time-based one-time passwords (RFC 6238: SHA-1, six
// digits, 30 seconds) and backup codes.
type Service struct {
	*core.Core
	accounts *account.Service
	signIns  *signin.Service
	sealer   *secrets.Sealer
	issuer   string // that authenticators show
}

func New(accounts *account.Service, signIns *signin.Service, sealer *secrets.Sealer, issuer string) *Service {
	return &Service{Core: accounts.Core, accounts: accounts, signIns: signIns, sealer: sealer, issuer: issuer}
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

// lockedFor returns how long no code is accepted any more; 0 when one is.
func (f *secondFactor) lockedFor(now time.Time) time.Duration {
	if f.failures < maxWrongCodes {
		return 0
	}
	return max(f.failedAt.Add(lockoutPeriod).Sub(now), 0)
}

// resetOldFailures starts the count again when the last failure is as old as a lock.
func (f *secondFactor) resetOldFailures(now time.Time) {
	if now.Sub(f.failedAt) >= lockoutPeriod {
		f.failures = 0
	}
}

// matchingStep returns the time step that code is right for, used or not; false when there is none.
func (f *secondFactor) matchingStep(code string, now time.Time) (int64, bool) {
	current := now.Unix() / codePeriod
	for step := current + codeSkew; step >= current-codeSkew; step-- {
		right, err := hotp.ValidateCustom(code, uint64(step), f.secret,
			hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err == nil && right {
			return step, true
		}
	}
	return 0, false
}

// hashBackup is what the database keeps of a backup code.
func (f *secondFactor) hashBackup(code string) []byte {
	mac := hmac.New(sha256.New, []byte(f.secret))
	mac.Write([]byte(code))
	return mac.Sum(nil)
}

// newBackupCodes returns fresh codes and their hashes. Ten characters out of 31 are 49 random bits.
func (f *secondFactor) newBackupCodes() (codes []string, hashes [][]byte) {
	for range backupCodes {
		code := make([]byte, backupLength)
		for i := range code {
			code[i] = backupAlphabet[randomBelow(len(backupAlphabet))]
		}
		codes, hashes = append(codes, string(code)), append(hashes, f.hashBackup(string(code)))
	}
	return codes, hashes
}

// setup makes a new key and backup codes, in place of those of a setup that was never verified.
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

func orEnabled(err error) error {
	if err != nil {
		return err
	}
	return errAlreadyEnabled()
}

// enable turns the second factor on after a first right code of the authenticator. With withTokens
// the auth tokens end, which know no second factor.
func (s *Service) enable(ctx context.Context, userID, code string, revokeTokens bool,
	device request.Device) (enableAnswer,
	error) {
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

// disable takes the second factor away.
func (s *Service) disable(ctx context.Context, userID, password, code string, device request.Device) (changeAnswer,
	error) {
	if err := s.verifyBoth(ctx, userID, password, code, device); err != nil {
		return changeAnswer{}, err
	}
	result, err := s.signIns.ReplaceAll(ctx, userID, history.TwoFactorDisabled, device,
		func(tx core.DBTX) error { return deleteFactor(ctx, tx, userID) })
	return changeAnswer{SessionsRevoked: true, TokenPair: result.TokenPair}, err
}

// verifyBoth asks for the password and a code, in this order, so that no code is spent on a wrong
// password.
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

func orNotEnabled(err error) error {
	if err != nil {
		return err
	}
	return errNotEnabled()
}

// regenerate replaces the backup codes.
func (s *Service) regenerate(ctx context.Context, userID, password, code string, device request.Device) ([]string,
	error) {
	if err := s.verifyBoth(ctx, userID, password, code, device); err != nil {
		return nil, err
	}
	return s.replaceBackupCodes(ctx, userID, device)
}

// setTokenGate says whether sessions need a code to make and change auth tokens. Turning that off
// needs password and code.
func (s *Service) setTokenGate(ctx context.Context, userID string, on bool, password, code string,
	device request.Device) error {
	if !on {
		if err := s.verifyBoth(ctx, userID, password, code, device); err != nil {
			return err
		}
	}
	return s.writeTokenGate(ctx, userID, on, device)
}

// completeLogin trades a temporary token and a code for a session. The token survives a wrong code,
// and is gone after a right one.
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
		err = apperr.InvalidToken() // the password that it was given for is not the password any more
	}
	return result, err
}
