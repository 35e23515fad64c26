package field

import (
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/input"
)

const MaxPassword = 128

// The bounds of current_password are those of the oldest rule, so that every password that was
// ever allowed can be given.
const MinCurrentPassword = 8

// NFC returns the password in Unicode normalization form C, which is what new hashes are made
// of: macOS and some input methods send "ü" as two code points, others as one. The compatibility
// forms (NFKC, NFKD) are not used, because they make different passwords equal.
func NFC(password string) string { return norm.NFC.String(password) }

// PasswordTooLong reports whether the password is longer than any whose form C has at most
// MaxPassword characters: a character has at most 4 bytes, and form C saves at most two thirds of
// them.
func PasswordTooLong(password string) bool { return len(password) > 3*4*MaxPassword }

// StoredPassword reads a password that is to be compared with a stored one. Its bounds are
// those of the oldest rule, so that every password that was ever allowed can be given: it counts as
// within them when the form as sent or form C is.
func StoredPassword(body *input.Object, name string, minLength int) string {
	password, ok := body.Text(name)
	if !ok {
		return ""
	}
	if PasswordTooLong(password) {
		body.Fail(name, fmt.Sprintf("must be at most %d characters", MaxPassword))
		return ""
	}
	sent, nfc := utf8.RuneCountInString(password), utf8.RuneCountInString(NFC(password))
	switch {
	case max(sent, nfc) < minLength:
		body.Fail(name, fmt.Sprintf("must be at least %d characters", minLength))
	case min(sent, nfc) > MaxPassword:
		body.Fail(name, fmt.Sprintf("must be at most %d characters", MaxPassword))
	}
	return password
}

// CurrentPassword reads the password that is asked for again: 400 CURRENT_PASSWORD_REQUIRED when it
// is missing, unless a field that was read before breaks its rule.
func CurrentPassword(body *input.Object) (string, error) {
	body.DropNull("password")
	password := StoredPassword(body, "password", 0)
	if err := body.Err(); err != nil {
		return "", err
	}
	if password == "" {
		return "", PasswordRequired("Current password is required")
	}
	return password, nil
}

func PasswordRequired(message string) *apperr.Error {
	return apperr.New(apperr.Invalid, "CURRENT_PASSWORD_REQUIRED", message)
}
