package users

import (
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/realmgate/realmgate/pkg/input"
)

// composed returns the password in Unicode normalization form C, which is what new hashes are made
// of: macOS and some input methods send "ü" as two code points, others as one. The compatibility
// forms (NFKC, NFKD) are not used, because they make different passwords equal.
func composed(password string) string { return norm.NFC.String(password) }

// tooLongToCompose reports whether the password is longer than any whose form C has at most
// maxPassword characters: a character has at most 4 bytes, and form C saves at most two thirds of
// them.
func tooLongToCompose(password string) bool { return len(password) > 3*4*maxPassword }

// spellings returns the forms of the password that a stored hash may be made of, form C first.
// Releases before NFC hashed what was typed, so the form as sent is the second, and form D when
// that is the same. Two at most: each costs a hash.
func spellings(password string) []string {
	first, second := composed(password), password
	if second == first {
		second = norm.NFD.String(password)
	}
	if second == first {
		return []string{first}
	}
	return []string{first, second}
}

// readStoredPassword reads a password that is to be compared with a stored one. Its bounds are
// those of the oldest rule, so that every password that was ever allowed can be given: it counts as
// within them when the form as sent or form C is.
func readStoredPassword(o *input.Object, name string, least int) string {
	password, ok := o.Text(name)
	if !ok {
		return ""
	}
	if tooLongToCompose(password) {
		o.Fail(name, fmt.Sprintf("must be at most %d characters", maxPassword))
		return ""
	}
	sent, nfc := utf8.RuneCountInString(password), utf8.RuneCountInString(composed(password))
	switch {
	case max(sent, nfc) < least:
		o.Fail(name, fmt.Sprintf("must be at least %d characters", least))
	case min(sent, nfc) > maxPassword:
		o.Fail(name, fmt.Sprintf("must be at most %d characters", maxPassword))
	}
	return password
}
