// Package field provides the request fields that several endpoints have, with their bounds and
// messages. Start reading at StoredPassword.
package field

import (
	"regexp"
	"unicode/utf8"

	"github.com/realmgate/realmgate/pkg/input"
)

// Optional turns the two results of an input getter into a pointer, nil when the field was not
// there.
func Optional[T any](v T, ok bool) *T {
	if !ok {
		return nil
	}
	return &v
}

func Require(body *input.Object, name string) {
	if !body.Has(name) {
		body.Fail(name, "is required")
	}
}

// Client reads how a client names itself: a string, or an object, which is kept as its JSON.
// What is too long is cut.
func Client(body *input.Object) *string {
	raw, ok := body.Raw("client")
	if !ok {
		return nil
	}
	var text string
	if raw.Kind() == '{' {
		v, _ := body.JSONObject("client", 16<<10)
		text = string(v)
	} else {
		text, _ = body.String("client", 0, 16<<10)
	}
	if r := []rune(text); len(r) > maxClient {
		text = string(r[:maxClient])
	}
	if text == "" || !utf8.ValidString(text) {
		return nil
	}
	return &text
}

// PageLimit reads the query parameters of a list.
func PageLimit(q *input.Query) (page, limit int) {
	return q.Int("page", 1, 1, maxPages), q.Int("limit", defaultLimit, 1, maxLimit)
}

var publicKeyPattern = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

// ValidPublicKey reports whether s is a public key: 32 bytes in hexadecimal.
func ValidPublicKey(s string) bool { return publicKeyPattern.MatchString(s) }

// RevokeTokens reads whether what secures an account also ends its auth tokens: one that an
// intruder made would survive otherwise, so it does unless the body says false.
func RevokeTokens(body *input.Object) bool {
	revoke, sent := body.Bool("revoke_tokens")
	return revoke || !sent
}

const MinCode = 6 // characters of a code as it is sent, spaces and hyphens included

const MaxCode = 12

// Code reads a required field that holds a code of the authenticator or a backup code.
func Code(body *input.Object, name string) string {
	Require(body, name)
	code, _ := body.String(name, MinCode, MaxCode)
	return code
}

const (
	maxClient    = 256
	maxPages     = 10_000
	defaultLimit = 50
	maxLimit     = 100
)
