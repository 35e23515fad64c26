// Package mailaddr provides the rules of e-mail addresses: which addresses are accepted, which lead
// to the same mailbox, and the keys under which accounts store them. Start reading at Parse.
package mailaddr

import (
	"errors"
	"net/mail"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"

	"github.com/realmgate/realmgate/pkg/input"
)

const maxLength = 255 // characters

// Mailbox is the mailbox that an e-mail address names.
type Mailbox struct {
	Key     string // two addresses name the same mailbox exactly when their keys are equal
	Deliver string // the address for SMTP: the local part in NFC, the domain in ASCII
}

var (
	errInvalid = errors.New("must be an e-mail address")
	errHidden  = errors.New("must be an e-mail address without " + HiddenCharacters)
	errDomain  = errors.New("must be an e-mail address whose domain is a valid DNS name (in ASCII or by IDNA)")
)

// HiddenCharacters names in error messages the characters that Hidden reports.
const HiddenCharacters = "control, bidirectional, zero-width or unassigned characters"

// Parse checks the address of a new account. It must be an addr-spec (RFC 5322, section 3.4.1),
// perhaps with letters beyond ASCII (RFC 6532), without display name, comment, quotes or address
// literal, and its domain must be a valid DNS name in ASCII or by IDNA (RFC 5891). The error is a
// text that can follow the field's name.
//
// The key has the local part as foldLocal returns it and the domain in IDNA's Unicode form, so an
// ASCII key belongs to an address with an ASCII local part. The Unicode form is kept because
// earlier releases stored lower-cased addresses, which are mostly the same.
func Parse(s string) (Mailbox, error) {
	if !plainAddress(s) || utf8.RuneCountInString(s) > maxLength {
		return Mailbox{}, errInvalid
	}
	local, domain, _ := strings.Cut(s, "@")
	if strings.ContainsFunc(local, Hidden) || strings.ContainsFunc(domain, hiddenInDomain) {
		return Mailbox{}, errHidden
	}
	ascii, unicodeDomain, ok := convertDomain(domain)
	if !ok {
		return Mailbox{}, errDomain
	}
	return Mailbox{Key: foldLocal(local) + "@" + unicodeDomain, Deliver: composedLocal(local) + "@" + ascii}, nil
}

// DeliverTo returns the address for SMTP of an account's address: Mailbox.Deliver, or the address
// itself when it breaks the rule of Parse.
func DeliverTo(address string) string {
	if m, err := Parse(address); err == nil {
		return m.Deliver
	}
	return address // stored by an earlier release
}

// plainAddress reports whether s is an addr-spec without quotes, brackets and blanks. Earlier
// releases checked no more than this.
func plainAddress(s string) bool {
	blank := func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }
	if strings.ContainsFunc(s, blank) || strings.ContainsAny(s, `"[]`) {
		return false
	}
	a, err := mail.ParseAddress(s)
	return err == nil && a.Name == "" && a.Address == s
}

// Hidden reports whether r is invisible to readers: control and format characters (such as
// zero-width and bidirectional ones), blanks, fillers, variation selectors, and unassigned code
// points.
func Hidden(r rune) bool {
	return !unicode.IsGraphic(r) || unicode.IsSpace(r) || r == '\u2800' || // the blank of Braille
		unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// hiddenInDomain reports whether r is hidden and is not one of the two joiners, which IDNA checks:
// it allows them in words that need them (RFC 5892, appendix A).
func hiddenInDomain(r rune) bool { return Hidden(r) && r != '\u200c' && r != '\u200d' }

// convertDomain returns the domain in ASCII and in IDNA's Unicode form (UTS #46); false when a
// label is empty, longer than 63 bytes in ASCII, or breaks a rule of IDNA or of host names.
func convertDomain(domain string) (ascii, unicodeForm string, ok bool) {
	profile := idna.New(idna.MapForLookup(), idna.Transitional(false), idna.BidiRule(), idna.CheckHyphens(true),
		idna.CheckJoiners(true), idna.StrictDomainName(true), idna.VerifyDNSLength(true))
	ascii, err := profile.ToASCII(domain)
	if err != nil || strings.HasSuffix(ascii, ".") {
		return "", "", false
	}
	if unicodeForm, err = profile.ToUnicode(ascii); err != nil {
		return "", "", false
	}
	reencoded, err := profile.ToASCII(unicodeForm)
	return ascii, unicodeForm, err == nil && reencoded == ascii
}

// composedToASCII holds the three characters beyond ASCII that NFC turns into ASCII: the Kelvin
// sign, the Greek question mark (a semicolon) and the Greek varia (a grave accent).
const composedToASCII = "\u212a\u037e\u1fef"

// composedLocal returns the local part in NFC, but keeps the characters of composedToASCII.
func composedLocal(local string) string {
	var result strings.Builder
	for i := strings.IndexAny(local, composedToASCII); i >= 0; i = strings.IndexAny(local, composedToASCII) {
		_, size := utf8.DecodeRuneInString(local[i:])
		result.WriteString(norm.NFC.String(local[:i]) + local[i:i+size])
		local = local[i+size:]
	}
	return result.String() + norm.NFC.String(local)
}

// foldLocal maps local parts that differ only in case or in the composition of accents to the same
// text. A letter keeps its script: the Kelvin sign does not become k, nor a dotted capital I an i,
// nor a long s an s.
func foldLocal(local string) string {
	return composedLocal(strings.Map(func(r rune) rune {
		folded := unicode.ToLower(unicode.ToUpper(r))
		if r > unicode.MaxASCII && (folded <= unicode.MaxASCII || unicode.In(r, unicode.Common, unicode.Inherited)) {
			return r
		}
		return folded
	}, composedLocal(local)))
}

// Keys holds the keys under which the account of an address may be stored.
type Keys struct {
	Primary string   // the key of a new account
	All     []string // the keys to look for, in the order of preference
	// Exact is one of All, or "". It finds only the account whose address equals this one: earlier
	// releases stored strings.ToLower of an address, which for this one is another person's
	// address.
	Exact string
}

// KeysOf returns the keys of an address. It accepts addresses that break the rule of Parse too:
// accounts of earlier releases keep the key under which they were stored.
func KeysOf(address string) Keys {
	lower := strings.ToLower(address)
	keys := Keys{Primary: lower, All: []string{lower}}
	if strings.ContainsAny(address, "\u0130\u212a") { // the two letters that ToLower maps to ASCII
		keys.Primary, keys.Exact = address, lower
	}
	var deliverKey string
	if m, err := Parse(address); err == nil {
		local, _, _ := strings.Cut(m.Key, "@")
		_, domain, _ := strings.Cut(m.Deliver, "@")
		keys.Primary, deliverKey = m.Key, local+"@"+domain
	}
	for _, key := range []string{keys.Primary, deliverKey} {
		if key != "" && !slices.Contains(keys.All, key) {
			keys.All = append(keys.All, key)
		}
	}
	return keys
}

// Field reads a required field with the address of a new account, which must satisfy Parse.
func Field(body *input.Object, name string) string {
	email, ok := readField(body, name)
	if !ok {
		return email
	}
	if _, err := Parse(email); err != nil {
		body.Fail(name, err.Error())
	}
	return email
}

// KnownField reads a required field with an address that an account may have, perhaps since an
// earlier release: it refuses only addresses that no release ever accepted. It removes blanks
// around it.
func KnownField(body *input.Object, name string) string {
	email, ok := readField(body, name)
	email = strings.TrimSpace(email)
	if ok && (!plainAddress(email) || strings.ContainsFunc(email, hiddenInDomain)) {
		body.Fail(name, errInvalid.Error())
	}
	return email
}

// readField reads a required field of at most maxLength characters; false when it breaks this rule.
func readField(body *input.Object, name string) (string, bool) {
	if !body.Has(name) {
		body.Fail(name, "is required")
		return "", false
	}
	return body.String(name, 1, maxLength)
}
