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
type TwoFactorSetup struct {
	QRCode         string   `json:"qr_code"` // a data URI of a PNG
	ManualEntryKey string   `json:"manual_entry_key"`
	BackupCodes    []string `json:"backup_codes"`
}

// TwoFactorStatus is the state of an account's second factor.
type TwoFactorStatus struct {
	Enabled              bool      `json:"enabled"`
	Verified             bool      `json:"verified"`
	EnabledAt            *api.Time `json:"enabled_at"`
	BackupCodesRemaining int       `json:"backup_codes_remaining"`
	RequireForTokens     bool      `json:"require_for_tokens"`
}

// TwoFactorChanged answers a change that ended all other sessions, with the pair of the one that
// took their place.
type TwoFactorChanged struct {
	Enabled         bool      `json:"enabled"`
	EnabledAt       *api.Time `json:"enabled_at"`
	SessionsRevoked bool      `json:"sessions_revoked"`
	session.TokenPair
}

// TwoFactorEnabled answers that a second factor was enabled.
type TwoFactorEnabled struct {
	TwoFactorChanged
	apitoken.RevokedTokens
}

const codeSkew = 1 // steps that a clock may be off, either way

const maxWrongCodes = 5 // then the second factor is locked

const lockout = 15 * time.Minute

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

func New(accounts *account.Service, signIns *signin.Service, s *secrets.Sealer, issuer string) *Service {
	return &Service{Core: accounts.Core, accounts: accounts, signIns: signIns, sealer: s, issuer: issuer}
}

func errWrongCode(remaining int) *apperr.Error {
	return apperr.New(apperr.Unauthenticated, "INVALID_OTP_CODE",
		"Invalid one-time code").WithData(map[string]int{"attempts_remaining": remaining})
}

func errCodeLocked(left time.Duration) *apperr.Error {
	return apperr.New(apperr.RateLimited, "TWOFACTOR_RATE_LIMIT",
		"Too many invalid codes").WithRetryAfter(max(left, time.Second))
}

func errTwoFactorEnabled() *apperr.Error {
	return apperr.New(apperr.Conflict, "TWOFACTOR_ALREADY_ENABLED", "Two-factor authentication is already enabled")
}

func errTwoFactorNotEnabled() *apperr.Error {
	return apperr.New(apperr.Conflict, "TWOFACTOR_NOT_ENABLED", "Two-factor authentication is not enabled")
}

func errSetupRequired() *apperr.Error {
	return apperr.New(apperr.Conflict, "TWOFACTOR_SETUP_REQUIRED", "Two-factor setup has not been started")
}

// lockedFor returns how long no code is accepted any more; 0 when one is.
func (f *factor) lockedFor(now time.Time) time.Duration {
	if f.failures < maxWrongCodes {
		return 0
	}
	return max(f.failedAt.Add(lockout).Sub(now), 0)
}

// resetOldFailures starts the count again when the last failure is as old as a lock.
func (f *factor) resetOldFailures(now time.Time) {
	if now.Sub(f.failedAt) >= lockout {
		f.failures = 0
	}
}

// matchingStep returns the time step that code is right for, used or not; false when there is none.
func (f *factor) matchingStep(code string, now time.Time) (int64, bool) {
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
func (f *factor) hashBackup(code string) []byte {
	mac := hmac.New(sha256.New, []byte(f.secret))
	mac.Write([]byte(code))
	return mac.Sum(nil)
}

// newBackupCodes returns fresh codes and their hashes. Ten characters out of 31 are 49 random bits.
func (f *factor) newBackupCodes() (codes []string, hashes [][]byte) {
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
func (t *Service) setup(ctx context.Context, userID, password string, d request.Device) (TwoFactorSetup, error) {
	if f, found, err := t.read(ctx, t.Pool, userID); err != nil || found && f.enabledAt != nil {
		return TwoFactorSetup{}, orEnabled(err)
	}
	if _, err := t.accounts.VerifyPassword(ctx, userID, password, d); err != nil {
		return TwoFactorSetup{}, err
	}
	user, err := account.ByID(ctx, t.Pool, userID)
	if err != nil {
		return TwoFactorSetup{}, err
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: t.issuer, AccountName: accountLabel(user.User),
		Period: codePeriod})
	if err != nil {
		return TwoFactorSetup{}, err
	}
	picture, err := qrCode(key)
	if err != nil {
		return TwoFactorSetup{}, err
	}
	f := factor{secret: key.Secret(), sealed: t.sealer.Seal([]byte(key.Secret()), AssociatedData(userID))}
	codes, hashes := f.newBackupCodes()
	return TwoFactorSetup{QRCode: picture, ManualEntryKey: f.secret, BackupCodes: codes},
		t.storeSetup(ctx, userID, f, hashes)
}

func orEnabled(err error) error {
	if err != nil {
		return err
	}
	return errTwoFactorEnabled()
}

// enable turns the second factor on after a first right code of the authenticator. With withTokens
// the auth tokens end, which know no second factor.
func (t *Service) enable(ctx context.Context, userID, code string, withTokens bool, d request.Device) (TwoFactorEnabled,
	error) {
	f, err := t.useCode(ctx, userID, d, codeAttempt{code: code, setup: true})
	if err != nil {
		return TwoFactorEnabled{}, err
	}
	now := t.Now()
	var revoked apitoken.RevokedTokens
	in, err := t.signIns.ReplaceAll(ctx, userID, history.TwoFactorEnabled, d, func(tx core.DBTX) (err error) {
		if withTokens {
			if revoked.TokensRevoked, err = apitoken.RevokeAll(ctx, tx, userID, d, now); err != nil {
				return err
			}
		}
		return enableFactor(ctx, tx, userID, f.sealed, now)
	})
	changed := TwoFactorChanged{Enabled: true, EnabledAt: api.TimePtr(&now), SessionsRevoked: true,
		TokenPair: in.TokenPair}
	return TwoFactorEnabled{changed, revoked}, err
}

// disable takes the second factor away.
func (t *Service) disable(ctx context.Context, userID, password, code string, d request.Device) (TwoFactorChanged,
	error) {
	if err := t.verifyBoth(ctx, userID, password, code, d); err != nil {
		return TwoFactorChanged{}, err
	}
	in, err := t.signIns.ReplaceAll(ctx, userID, history.TwoFactorDisabled, d,
		func(tx core.DBTX) error { return deleteFactor(ctx, tx, userID) })
	return TwoFactorChanged{SessionsRevoked: true, TokenPair: in.TokenPair}, err
}

// verifyBoth asks for the password and a code, in this order, so that no code is spent on a wrong
// password.
func (t *Service) verifyBoth(ctx context.Context, userID, password, code string, d request.Device) error {
	if f, found, err := t.read(ctx, t.Pool, userID); err != nil || !found || f.enabledAt == nil {
		return orNotEnabled(err)
	}
	if _, err := t.accounts.VerifyPassword(ctx, userID, password, d); err != nil {
		return err
	}
	_, err := t.useCode(ctx, userID, d, codeAttempt{code: code})
	return err
}

func orNotEnabled(err error) error {
	if err != nil {
		return err
	}
	return errTwoFactorNotEnabled()
}

// regenerate replaces the backup codes.
func (t *Service) regenerate(ctx context.Context, userID, password, code string, d request.Device) ([]string, error) {
	if err := t.verifyBoth(ctx, userID, password, code, d); err != nil {
		return nil, err
	}
	return t.replaceBackupCodes(ctx, userID, d)
}

// setTokenGate says whether sessions need a code to make and change auth tokens. Turning that off
// needs password and code.
func (t *Service) setTokenGate(ctx context.Context, userID string, on bool, password, code string,
	d request.Device) error {
	if !on {
		if err := t.verifyBoth(ctx, userID, password, code, d); err != nil {
			return err
		}
	}
	return t.writeGate(ctx, userID, on, d)
}

// completeLogin trades a temporary token and a code for a session. The token survives a wrong code,
// and is gone after a right one.
func (t *Service) completeLogin(ctx context.Context, token, code string, d request.Device) (any, error) {
	hash := secrets.HashToken(token)
	owed, err := t.signIns.FindPending(ctx, hash)
	if err != nil {
		return nil, err
	}
	if _, err := t.useCode(ctx, owed.UserID, d, codeAttempt{code: code, login: hash}); err != nil {
		return nil, err
	}
	found, err := account.ByID(ctx, t.Pool, owed.UserID)
	if err != nil {
		return nil, err
	}
	in, err := t.signIns.SignIn(ctx, found, signin.NewSession{VerifiedHash: owed.PasswordHash, Device: d})
	if apperr.Is(err, "INVALID_CREDENTIALS") {
		err = apperr.InvalidToken() // the password that it was given for is not the password any more
	}
	return in, err
}
