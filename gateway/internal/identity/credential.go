package identity

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"

	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/pkg/ascii"
)

// Credential is the content of an Authorization header. It points into the request.
type Credential struct {
	kind credentialKind
	text []byte // the JWT, or the whole hdy_ token
}

type credentialKind uint8

const (
	noCredential credentialKind = iota
	malformedCredential
	jwtCredential
	tokenCredential
)

// The parts of an auth token: hdy_<24 hex>_<48 hex> (contract, section 7).
const (
	tokenPrefix  = "hdy_"
	tokenIDLen   = 24
	tokenSecret  = 48
	tokenLen     = len(tokenPrefix) + tokenIDLen + 1 + tokenSecret
	maxJWT       = 4 << 10
	bearerScheme = "Bearer"
)

// ReadCredential reads the Authorization header: "Bearer <JWT>", "Bearer hdy_…" or a bare "hdy_…".
// The scheme's case does not matter.
func ReadCredential(h *fasthttp.RequestHeader) Credential {
	all := h.PeekAll(fasthttp.HeaderAuthorization)
	if len(all) > 1 {
		return Credential{kind: malformedCredential}
	}
	if len(all) == 0 {
		return Credential{}
	}
	return parseCredential(all[0])
}

func parseCredential(value []byte) Credential {
	value = bytes.Trim(value, " \t")
	if len(value) == 0 {
		return Credential{}
	}
	if len(value) >= len(bearerScheme) && ascii.EqualFold(value[:len(bearerScheme)], bearerScheme) {
		rest := value[len(bearerScheme):]
		if len(rest) == 0 {
			return Credential{}
		}
		if rest[0] == ' ' || rest[0] == '\t' {
			value = bytes.TrimLeft(rest, " \t")
			if !bytes.HasPrefix(value, []byte(tokenPrefix)) {
				if len(value) > maxJWT {
					return Credential{kind: malformedCredential}
				}
				return Credential{kind: jwtCredential, text: value}
			}
		}
	}
	if isAuthToken(value) {
		return Credential{kind: tokenCredential, text: value}
	}
	return Credential{kind: malformedCredential}
}

// isAuthToken checks the format of a token; only users-svc knows whether it exists.
func isAuthToken(s []byte) bool {
	if len(s) != tokenLen || !bytes.HasPrefix(s, []byte(tokenPrefix)) || s[len(tokenPrefix)+tokenIDLen] != '_' {
		return false
	}
	return isHex(s[len(tokenPrefix):len(tokenPrefix)+tokenIDLen]) && isHex(s[tokenLen-tokenSecret:])
}

func isHex(s []byte) bool {
	for _, c := range s {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

// tokenHash returns the name of an auth token at users-svc and in the caches: the hexadecimal
// SHA-256 of the whole token.
func tokenHash(token []byte) string {
	sum := sha256.Sum256(token)
	return hex.EncodeToString(sum[:])
}
