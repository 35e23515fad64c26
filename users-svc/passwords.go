package users

import (
	_ "embed" // the list of common passwords
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/realmgate/realmgate/pkg/apperr"
)

const (
	minPassword = 12
	maxPassword = 128
	// minClasses of lower, upper, digit and symbol must be in a password.
	minClasses = 3
)

func errWeakPassword() *apperr.Error {
	return apperr.New(apperr.Invalid, "WEAK_PASSWORD", "Password must be at least 12 characters, 3 of 4 character classes")
}

// errGuessablePassword has a message of its own: such a password keeps the contract's rule.
func errGuessablePassword() *apperr.Error {
	return apperr.New(apperr.Invalid, "WEAK_PASSWORD", "Password is too easy to guess: a common one, or little more than your name or address")
}

// checkStrength returns 400 WEAK_PASSWORD unless the password keeps the contract's rule. Characters
// are code points of form C; what is neither a letter with case nor a digit is a symbol.
func checkStrength(password string) error {
	if tooLongToCompose(password) {
		return errWeakPassword()
	}
	password = composed(password)
	if n := utf8.RuneCountInString(password); n < minPassword || n > maxPassword {
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

//go:embed common_passwords.txt
var commonPasswords string

// passwordRule refuses passwords that anybody would guess first, on top of checkStrength. Its zero value refuses none.
type passwordRule struct {
	common string // lower-case, each between line feeds: one string is nothing to the garbage collector, which runs every few hashes
	on     bool
}

func newPasswordRule(on bool) passwordRule {
	if !on {
		return passwordRule{}
	}
	common := commonPasswords
	for strings.HasPrefix(common, "#") { // the licence of the list
		_, common, _ = strings.Cut(common, "\n")
	}
	return passwordRule{on: true, common: "\n" + common}
}

// minOther is how many characters a password must have besides the user's own name or address.
const minOther = 6

// check returns 400 WEAK_PASSWORD for one of the most common passwords, in whatever case, with symbols around it or with the usual digits for
// letters, and for one that is little more than one of own: the user's address and names.
func (r passwordRule) check(password string, own ...string) error {
	if err := checkStrength(password); err != nil || !r.on {
		return err
	}
	lower := strings.ToLower(password)
	isSymbol := func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) }
	plain := strings.NewReplacer("@", "a", "$", "s", "0", "o").Replace(lower)
	for _, candidate := range []string{lower, strings.TrimFunc(lower, isSymbol), strings.TrimFunc(plain, isSymbol)} {
		if !strings.Contains(candidate, "\n") && strings.Contains(r.common, "\n"+candidate+"\n") {
			return errGuessablePassword()
		}
	}
	for _, name := range own {
		local, _, _ := strings.Cut(strings.ToLower(name), "@")
		for _, part := range []string{strings.ToLower(name), local} {
			if len(part) >= 3 && strings.Contains(lower, part) && utf8.RuneCountInString(strings.ReplaceAll(lower, part, "")) < minOther {
				return errGuessablePassword()
			}
		}
	}
	return nil
}
