package users

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"image/png"
	"regexp"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/ascii"
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
	TokenPair
}

// TwoFactorEnabled answers that a second factor was enabled.
type TwoFactorEnabled struct {
	TwoFactorChanged
	RevokedTokens
}

const (
	codePeriod     = 30 // seconds of one time step (RFC 6238)
	codeSkew       = 1  // steps that a clock may be off, either way
	maxWrongCodes  = 5  // then the second factor is locked
	codeLock       = 15 * time.Minute
	backupCodes    = 10
	backupAlphabet = "abcdefghjkmnpqrstuvwxyz23456789" // nothing that looks like something else
	backupLength   = 10
	minCode        = 6 // characters of a code as it is sent, spaces and hyphens included
	maxCode        = 12
	qrPixels       = 256
)

// The events of the second factor in the security history.
const (
	eventTwoFactorEnabled  = "2fa_enabled"
	eventTwoFactorDisabled = "2fa_disabled"
	eventTwoFactorReset    = "2fa_reset"
	eventTwoFactorCode     = "2fa_code" // a wrong one
	eventBackupCodeUsed    = "2fa_backup_code_used"
	eventBackupCodesMade   = "2fa_backup_codes_regenerated"
	eventTokenGateChanged  = "2fa_token_gate_changed"
)

// twoFactor is the domain of the second factor: time-based one-time passwords (RFC 6238: SHA-1, six
// digits, 30 seconds) and backup codes.
type twoFactor struct {
	*core
	accounts *accounts
	signIns  *signIns
	sealer   *sealer
	issuer   string // that authenticators show
}

func newTwoFactor(accounts *accounts, signIns *signIns, s *sealer, issuer string) *twoFactor {
	return &twoFactor{core: accounts.core, accounts: accounts, signIns: signIns, sealer: s, issuer: issuer}
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

// factor is the second factor of an account, set up or enabled.
type factor struct {
	secret           string // base 32
	sealed           []byte // the secret as the database has it; also tells one setup from the next
	enabledAt        *time.Time
	lastStep         int64
	requireForTokens bool
	failures         int
	failedAt         time.Time
}

// aboutFactor ties a sealed secret to its account.
func aboutFactor(userID string) string { return "totp:" + userID }

// lockedFor returns how long no code is accepted any more; 0 when one is.
func (f *factor) lockedFor(now time.Time) time.Duration {
	if f.failures < maxWrongCodes {
		return 0
	}
	return max(f.failedAt.Add(codeLock).Sub(now), 0)
}

// forgetOldFailures starts the count again when the last failure is as old as a lock.
func (f *factor) forgetOldFailures(now time.Time) {
	if now.Sub(f.failedAt) >= codeLock {
		f.failures = 0
	}
}

var sixDigits = regexp.MustCompile(`^[0-9]{6}$`)

// cleanCode takes out what people put into codes to read them better.
func cleanCode(code string) string {
	return ascii.Lower(strings.NewReplacer(" ", "", "-", "").Replace(code))
}

// step returns the time step that code is right for, used or not; false when there is none.
func (f *factor) step(code string, now time.Time) (int64, bool) {
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

// randomBelow returns a random number from 0 to n-1, each as likely; n is at most 256.
func randomBelow(n int) int {
	var b [1]byte
	for {
		_, _ = rand.Read(b[:]) // never fails
		if limit := 256 - 256%n; int(b[0]) < limit {
			return int(b[0]) % n
		}
	}
}

// setup makes a new key and backup codes, in place of those of a setup that was never verified.
func (t *twoFactor) setup(ctx context.Context, userID, password string, d device) (TwoFactorSetup, error) {
	if f, found, err := t.read(ctx, t.pool, userID); err != nil || found && f.enabledAt != nil {
		return TwoFactorSetup{}, orEnabled(err)
	}
	if _, err := t.accounts.confirm(ctx, userID, password, d); err != nil {
		return TwoFactorSetup{}, err
	}
	user, err := accountByID(ctx, t.pool, userID)
	if err != nil {
		return TwoFactorSetup{}, err
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: t.issuer, AccountName: labelOf(user.User),
		Period: codePeriod})
	if err != nil {
		return TwoFactorSetup{}, err
	}
	picture, err := qrCode(key)
	if err != nil {
		return TwoFactorSetup{}, err
	}
	f := factor{secret: key.Secret(), sealed: t.sealer.seal([]byte(key.Secret()), aboutFactor(userID))}
	codes, hashes := f.newBackupCodes()
	return TwoFactorSetup{QRCode: picture, ManualEntryKey: f.secret, BackupCodes: codes}, t.begin(ctx, userID, f, hashes)
}

func orEnabled(err error) error {
	if err != nil {
		return err
	}
	return errTwoFactorEnabled()
}

// maxLabel bounds the name of the account in bytes, so that its otpauth address, percent-encoded,
// fits into a QR code.
const maxLabel = 128

// labelOf is what an authenticator shows beside the code.
func labelOf(u User) string {
	if len(u.Email) > maxLabel {
		return u.ID
	}
	return u.Email
}

func qrCode(key *otp.Key) (string, error) {
	picture, err := key.Image(qrPixels, qrPixels)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		return "", err
	}
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes()), nil
}

// enable turns the second factor on after a first right code of the authenticator. With withTokens
// the auth tokens end, which know no second factor.
func (t *twoFactor) enable(ctx context.Context, userID, code string, withTokens bool, d device) (TwoFactorEnabled,
	error) {
	f, err := t.spend(ctx, userID, d, spending{code: code, setup: true})
	if err != nil {
		return TwoFactorEnabled{}, err
	}
	now := t.now()
	var revoked RevokedTokens
	in, err := t.signIns.renewAll(ctx, userID, eventTwoFactorEnabled, d, func(tx dbtx) (err error) {
		if withTokens {
			if revoked.TokensRevoked, err = revokeTokens(ctx, tx, userID, d, now); err != nil {
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
func (t *twoFactor) disable(ctx context.Context, userID, password, code string, d device) (TwoFactorChanged, error) {
	if err := t.prove(ctx, userID, password, code, d); err != nil {
		return TwoFactorChanged{}, err
	}
	in, err := t.signIns.renewAll(ctx, userID, eventTwoFactorDisabled, d,
		func(tx dbtx) error { return deleteFactor(ctx, tx, userID) })
	return TwoFactorChanged{SessionsRevoked: true, TokenPair: in.TokenPair}, err
}

// prove asks for the password and a code, in this order, so that no code is spent on a wrong
// password.
func (t *twoFactor) prove(ctx context.Context, userID, password, code string, d device) error {
	if f, found, err := t.read(ctx, t.pool, userID); err != nil || !found || f.enabledAt == nil {
		return orNotEnabled(err)
	}
	if _, err := t.accounts.confirm(ctx, userID, password, d); err != nil {
		return err
	}
	_, err := t.spend(ctx, userID, d, spending{code: code})
	return err
}

func orNotEnabled(err error) error {
	if err != nil {
		return err
	}
	return errTwoFactorNotEnabled()
}

// regenerate replaces the backup codes.
func (t *twoFactor) regenerate(ctx context.Context, userID, password, code string, d device) ([]string, error) {
	if err := t.prove(ctx, userID, password, code, d); err != nil {
		return nil, err
	}
	return t.replaceBackupCodes(ctx, userID, d)
}

// setGate says whether sessions need a code to make and change auth tokens. Turning that off needs
// password and code.
func (t *twoFactor) setGate(ctx context.Context, userID string, on bool, password, code string, d device) error {
	if !on {
		if err := t.prove(ctx, userID, password, code, d); err != nil {
			return err
		}
	}
	return t.writeGate(ctx, userID, on, d)
}

// finish trades a temporary token and a code for a session. The token survives a wrong code, and is
// gone after a right one.
func (t *twoFactor) finish(ctx context.Context, token, code string, d device) (any, error) {
	hash := tokenHash(token)
	owed, err := t.signIns.findPending(ctx, hash)
	if err != nil {
		return nil, err
	}
	if _, err := t.spend(ctx, owed.userID, d, spending{code: code, login: hash}); err != nil {
		return nil, err
	}
	found, err := accountByID(ctx, t.pool, owed.userID)
	if err != nil {
		return nil, err
	}
	in, err := t.signIns.signIn(ctx, found, opening{trusted: owed.passwordHash, device: d})
	if apperr.Is(err, "INVALID_CREDENTIALS") {
		err = apperr.InvalidToken() // the password that it was given for is not the password any more
	}
	return in, err
}
