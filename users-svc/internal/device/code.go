package device

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"regexp"
	"strings"

	"github.com/realmgate/realmgate/pkg/ascii"
)

// userCodeAlphabet has no vowels, so that no code is a word (RFC 8628 section 6.1).
const userCodeAlphabet = "BCDFGHJKLMNPQRSTVWXZ"

const userCodeLength = 8

// newUserCode returns a random user code with a dash in its middle.
func newUserCode() string {
	const most = 256 - 256%len(userCodeAlphabet) // bytes from most on would make some characters likelier
	code := make([]byte, 0, userCodeLength)
	for len(code) < userCodeLength {
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails
		for _, v := range b {
			if int(v) < most && len(code) < userCodeLength {
				code = append(code, userCodeAlphabet[int(v)%len(userCodeAlphabet)])
			}
		}
	}
	return string(code[:userCodeLength/2]) + "-" + string(code[userCodeLength/2:])
}

// normalizeUserCode returns the eight characters of a user code as a person typed it: in any case,
// with or without the dash.
func normalizeUserCode(typed string) string {
	return strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(ascii.Lower(typed)))
}

var (
	deviceCodePattern = regexp.MustCompile(`^[0-9a-f]{64}$`)
	challengePattern  = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
	verifierPattern   = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)
)

// matchesChallenge reports whether the verifier is that of an S256 code challenge (RFC 7636 section
// 4.6).
func matchesChallenge(verifier, challenge string) bool {
	sum := sha256.Sum256([]byte(verifier))
	want := base64.RawURLEncoding.EncodeToString(sum[:])
	return verifierPattern.MatchString(verifier) && subtle.ConstantTimeCompare([]byte(want), []byte(challenge)) == 1
}
