// Package mailaddr provides the rules of e-mail addresses: which are accepted, which lead to one
// mailbox, and under which keys accounts store them. Start reading at Parse.
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

const maxLength = 255

// Mailbox is what an e-mail address leads to.
type Mailbox struct {
	Key     string // two addresses lead to one mailbox exactly when their keys are equal
	Deliver string // where mail is sent: the local part in NFC, the domain in ASCII
}

var (
	errInvalid = errors.New("must be an e-mail address")
	errHidden  = errors.New("must be an e-mail address without " + HiddenCharacters)
	errDomain  = errors.New("must be an e-mail address whose domain is a valid DNS name (in ASCII or by IDNA)")
)

const HiddenCharacters = "control, bidirectional, zero-width or unassigned characters"

// Parse checks an address that an account is to have: an RFC 5322 addr-spec, with letters
// beyond ASCII (RFC 6532), and without display name, comment, quotes or address literal.
//
// The key has the local part folded by foldLocal and the domain as IDNA's Unicode form, so an
// ASCII key belongs to an address with an ASCII local part. The Unicode form is kept because
// releases before this rule stored lower-cased addresses, which mostly are the same.
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

// DeliverTo returns where mail for an account's address is sent.
func DeliverTo(address string) string {
	if m, err := Parse(address); err == nil {
		return m.Deliver
	}
	return address // of an earlier release
}

// plainAddress reports whether s is an address at all. It is the whole rule of earlier releases.
func plainAddress(s string) bool {
	blank := func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }
	if strings.ContainsFunc(s, blank) || strings.ContainsAny(s, `"[]`) {
		return false
	}
	a, err := mail.ParseAddress(s)
	return err == nil && a.Name == "" && a.Address == s
}

// Hidden reports whether a reader does not see r: control and format characters (zero-width and
// bidirectional ones among them), blanks, fillers, variation selectors, and what is not assigned.
func Hidden(r rune) bool {
	return !unicode.IsGraphic(r) || unicode.IsSpace(r) || r == '\u2800' || // the blank of Braille
		unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// hiddenInDomain leaves the two joiners to IDNA, which knows the words that need them.
func hiddenInDomain(r rune) bool { return Hidden(r) && r != '\u200c' && r != '\u200d' }

// convertDomain returns the domain in ASCII and in IDNA's Unicode form; false when a label is
// empty, longer than 63 bytes in ASCII, or breaks a rule of IDNA or of host names.
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

// composedToASCII are the three characters beyond ASCII of which NFC makes ASCII ones: the Kelvin
// sign, and doubles of the semicolon and the grave accent.
const composedToASCII = "\u212a\u037e\u1fef"

// composedLocal is NFC that leaves composedToASCII as they are.
func composedLocal(local string) string {
	var result strings.Builder
	for i := strings.IndexAny(local, composedToASCII); i >= 0; i = strings.IndexAny(local, composedToASCII) {
		_, size := utf8.DecodeRuneInString(local[i:])
		result.WriteString(norm.NFC.String(local[:i]) + local[i:i+size])
		local = local[i+size:]
	}
	return result.String() + norm.NFC.String(local)
}

// foldLocal makes the local parts that differ in case only, or in how accents are composed, one.
// A letter keeps its script: the Kelvin sign is no k, a dotted capital I no i, a long s no s.
func foldLocal(local string) string {
	return composedLocal(strings.Map(func(r rune) rune {
		folded := unicode.ToLower(unicode.ToUpper(r))
		if r > unicode.MaxASCII && (folded <= unicode.MaxASCII || unicode.In(r, unicode.Common, unicode.Inherited)) {
			return r
		}
		return folded
	}, composedLocal(local)))
}

// Keys are the keys under which the account of an address may be stored.
type Keys struct {
	Primary string   // of a new account
	All     []string // in the order of preference
	// Exact, among all, is a key for the account with this very address only: earlier releases
	// stored strings.ToLower of an address, which for this one is an address of somebody else.
	Exact string
}

// KeysOf returns where to look for an address, also for one that breaks today's rule: accounts of
// earlier releases keep the key that they were stored under.
func KeysOf(address string) Keys {
	lower := strings.ToLower(address)
	keys := Keys{Primary: lower, All: []string{lower}}
	if strings.ContainsAny(address, "\u0130\u212a") { // the two letters that ToLower takes to ASCII
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

// Field reads a required address that an account is to have.
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

// KnownField reads a required address that an account may have, perhaps since before
// Parse: only what no release ever took is refused. Blanks around it do not count.
func KnownField(body *input.Object, name string) string {
	email, ok := readField(body, name)
	email = strings.TrimSpace(email)
	if ok && (!plainAddress(email) || strings.ContainsFunc(email, hiddenInDomain)) {
		body.Fail(name, errInvalid.Error())
	}
	return email
}

func readField(body *input.Object, name string) (string, bool) {
	if !body.Has(name) {
		body.Fail(name, "is required")
		return "", false
	}
	return body.String(name, 1, maxLength)
}
