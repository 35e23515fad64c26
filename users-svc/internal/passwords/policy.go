package passwords

import (
	"unicode"
	"unicode/utf8"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/users-svc/internal/field"
)

const (
	minPassword = 12 // characters
	minClasses  = 3  // of lower-case letters, upper-case letters, digits and symbols
)

func errWeakPassword() *apperr.Error {
	return apperr.New(apperr.Invalid, "WEAK_PASSWORD",
		"Password must be at least 12 characters, 3 of 4 character classes")
}

// errCommonPassword is for passwords that keep the rule of CheckStrength but not Policy.
func errCommonPassword() *apperr.Error {
	return apperr.New(apperr.Invalid, "WEAK_PASSWORD",
		"Password is too easy to guess: a common one, or little more than your name or address")
}

// CheckStrength returns 400 WEAK_PASSWORD unless the password has minPassword to field.MaxPassword
// characters of at least minClasses classes. Characters are code points of form C. Characters that
// are neither letters with case nor digits count as symbols.
func CheckStrength(password string) error {
	if field.PasswordTooLong(password) {
		return errWeakPassword()
	}
	password = field.NFC(password)
	if n := utf8.RuneCountInString(password); n < minPassword || n > field.MaxPassword {
		return errWeakPassword()
	}
	var lower, upper, digit, symbol int
	for _, r := range password {
		switch {
		case unicode.IsLower(r):
			lower = 1
		case unicode.IsUpper(r):
			upper = 1
		case unicode.IsDigit(r):
			digit = 1
		default:
			symbol = 1
		}
	}
	if lower+upper+digit+symbol < minClasses {
		return errWeakPassword()
	}
	return nil
}
