// Package field provides the request fields that several endpoints have, with their bounds and
// messages. A function that reads a field reports a broken rule through input.Object.Fail. Start
// reading at StoredPassword.
package field

import (
	"regexp"
	"unicode/utf8"

	"github.com/realmgate/realmgate/pkg/input"
)

const (
	maxClient     = 256      // characters that are kept
	maxClientSent = 16 << 10 // bytes that are accepted
	maxPages      = 10_000
	defaultLimit  = 50
	maxLimit      = 100
)

// Optional turns the two results of an input getter into a pointer, nil when the field was absent.
func Optional[T any](v T, ok bool) *T {
	if !ok {
		return nil
	}
	return &v
}

// Require reports the field as missing unless the body has it.
func Require(body *input.Object, name string) {
	if !body.Has(name) {
		body.Fail(name, "is required")
	}
}

// Client reads the optional field "client", the name that a client gives itself: a string, or an
// object, of which the JSON is kept. It returns the first maxClient characters, nil for an absent
// or empty name.
func Client(body *input.Object) *string {
	raw, ok := body.Raw("client")
	if !ok {
		return nil
	}
	var text string
	if raw.Kind() == '{' {
		v, _ := body.JSONObject("client", maxClientSent)
		text = string(v)
	} else {
		text, _ = body.String("client", 0, maxClientSent)
	}
	if r := []rune(text); len(r) > maxClient {
		text = string(r[:maxClient])
	}
	if text == "" || !utf8.ValidString(text) {
		return nil
	}
	return &text
}

// PageLimit reads the query parameters "page" (from 1) and "limit" of a list.
func PageLimit(q *input.Query) (page, limit int) {
	return q.Int("page", 1, 1, maxPages), q.Int("limit", defaultLimit, 1, maxLimit)
}

var publicKeyPattern = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

// ValidPublicKey reports whether s is a public key: 32 bytes in hexadecimal, in either case.
func ValidPublicKey(s string) bool { return publicKeyPattern.MatchString(s) }

// RevokeTokens reads the optional field "revoke_tokens" of requests that secure an account, such as
// a password change. It is true unless the body says false, because auth tokens that an intruder
// made would otherwise survive.
func RevokeTokens(body *input.Object) bool {
	revoke, sent := body.Bool("revoke_tokens")
	return revoke || !sent
}

// MinCode and MaxCode bound the characters of a code as it is sent, spaces and hyphens included.
const (
	MinCode = 6
	MaxCode = 12
)

// Code reads a required field that holds a code of the authenticator app or a backup code.
func Code(body *input.Object, name string) string {
	Require(body, name)
	code, _ := body.String(name, MinCode, MaxCode)
	return code
}
