package twofactor

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"image/png"
	"regexp"
	"strings"
	"time"

	"github.com/pquerna/otp"

	"github.com/realmgate/realmgate/pkg/ascii"
	"github.com/realmgate/realmgate/users-svc/internal/account"
)

// factor is the second factor of an account, set up or enabled.
type secondFactor struct {
	secret           string // base 32
	sealed           []byte // the secret as the database has it; also tells one setup from the next
	enabledAt        *time.Time
	lastStep         int64
	requireForTokens bool
	failures         int
	failedAt         time.Time
}

const codePeriod = 30 // seconds of one time step (RFC 6238)

// AssociatedData ties a sealed secret to its account.
func AssociatedData(userID string) string { return "totp:" + userID }

var totpPattern = regexp.MustCompile(`^[0-9]{6}$`)

// normalizeCode takes out what people put into codes to read them better.
func normalizeCode(code string) string {
	return ascii.Lower(strings.NewReplacer(" ", "", "-", "").Replace(code))
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

// maxLabel bounds the name of the account in bytes, so that its otpauth address, percent-encoded,
// fits into a QR code.
const maxLabel = 128

// accountLabel is what an authenticator shows beside the code.
func accountLabel(user account.User) string {
	if len(user.Email) > maxLabel {
		return user.ID
	}
	return user.Email
}
