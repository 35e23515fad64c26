package field

import (
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/input"
)

// MaxPassword is the most characters that a password has.
const MaxPassword = 128

// MinCurrentPassword is the least characters of the field "current_password". It is the bound of
// the oldest rule for passwords, so that every password that was ever valid is accepted.
const MinCurrentPassword = 8

// NFC returns the password in Unicode normalization form C (UAX #15), of which hashes are made:
// macOS and some input methods send "ü" as two code points, others as one. The compatibility forms
// (NFKC, NFKD) are not used, because they make different passwords equal.
func NFC(password string) string { return norm.NFC.String(password) }

// PasswordTooLong reports whether the password has more bytes than any password whose form C has at
// most MaxPassword characters: a character has at most 4 bytes, and form C saves at most two thirds
// of them. It is cheap, so it is checked before the password is normalized.
func PasswordTooLong(password string) bool { return len(password) > 3*4*MaxPassword }

// StoredPassword reads an optional field with a password that will be compared with a stored hash.
// It must have minLength to MaxPassword characters, in the form as sent or in form C.
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

// CurrentPassword reads the field "password" of requests that repeat the password. It returns 400
// VALIDATION_ERROR when this field or one that was read before breaks its rule, and else 400
// CURRENT_PASSWORD_REQUIRED when the password is missing.
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

// PasswordRequired returns 400 CURRENT_PASSWORD_REQUIRED with the message.
func PasswordRequired(message string) *apperr.Error {
	return apperr.New(apperr.Invalid, "CURRENT_PASSWORD_REQUIRED", message)
}
