package twofactor

import (
	"bytes"
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

	"github.com/realmgate/realmgate/pkg/ascii"
	"github.com/realmgate/realmgate/users-svc/internal/account"
)

// secondFactor is the second factor of an account, set up or enabled.
type secondFactor struct {
	secret           string // in base 32
	sealed           []byte // the sealed secret, which also identifies the setup
	enabledAt        *time.Time
	lastStep         int64
	requireForTokens bool
	failures         int
	failedAt         time.Time
}

const codePeriod = 30 // seconds of a time step, X in RFC 6238

const codeSkew = 1 // time steps by which the clocks may differ, either way

var totpPattern = regexp.MustCompile(`^[0-9]{6}$`)

// matchingStep returns the time step whose code is code (RFC 6238 section 4), used or not, or
// false.
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

// normalizeCode removes the blanks and hyphens that people type for legibility, and lowers the
// case.
func normalizeCode(code string) string {
	return ascii.Lower(strings.NewReplacer(" ", "", "-", "").Replace(code))
}

const maxWrongCodes = 5 // in a row, before the second factor is locked

const lockoutPeriod = 15 * time.Minute

// lockedFor returns how long all codes are refused, or 0 when they are not.
func (f *secondFactor) lockedFor(now time.Time) time.Duration {
	if f.failures < maxWrongCodes {
		return 0
	}
	return max(f.failedAt.Add(lockoutPeriod).Sub(now), 0)
}

// resetOldFailures resets the failure count when the last failure is at least lockoutPeriod old.
func (f *secondFactor) resetOldFailures(now time.Time) {
	if now.Sub(f.failedAt) >= lockoutPeriod {
		f.failures = 0
	}
}

const backupCodes = 10

const backupLength = 10

const backupAlphabet = "abcdefghjkmnpqrstuvwxyz23456789" // without look-alikes such as l and 1

// newBackupCodes returns random codes and their hashes. Ten characters from an alphabet of 31 are
// 49 random bits.
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

// hashBackup returns the stored form of a backup code: its HMAC-SHA-256 with the TOTP secret as the
// key.
func (f *secondFactor) hashBackup(code string) []byte {
	mac := hmac.New(sha256.New, []byte(f.secret))
	mac.Write([]byte(code))
	return mac.Sum(nil)
}

// randomBelow returns a uniformly distributed random number from 0 to n-1; n is at most 256.
func randomBelow(n int) int {
	var b [1]byte
	for {
		_, _ = rand.Read(b[:]) // never fails
		if limit := 256 - 256%n; int(b[0]) < limit {
			return int(b[0]) % n
		}
	}
}

// AssociatedData returns the additional authenticated data of a sealed TOTP secret, which binds it
// to its account.
func AssociatedData(userID string) string { return "totp:" + userID }

const qrPixels = 256

// qrCode returns the key's otpauth address as a QR code, a PNG in a data URI.
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

// maxLabel is the longest account name in bytes: longer ones, percent-encoded in an otpauth
// address, do not fit into a QR code.
const maxLabel = 128

// accountLabel returns the name that an authenticator app shows beside the code.
func accountLabel(user account.User) string {
	if len(user.Email) > maxLabel {
		return user.ID
	}
	return user.Email
}
