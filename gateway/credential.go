package gateway

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/pkg/ascii"
)

// credential is what a client sent to say who it is. It points into the request.
type credential struct {
	kind credentialKind
	text []byte // the JWT, or the whole hdy_ token
}

type credentialKind uint8

const (
	noCredential credentialKind = iota
	badCredential
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

// readCredential reads the Authorization header: "Bearer <JWT>", "Bearer hdy_…" or a bare "hdy_…".
// The scheme's case does not matter.
func readCredential(h *fasthttp.RequestHeader) credential {
	all := h.PeekAll(fiber.HeaderAuthorization)
	if len(all) > 1 {
		return credential{kind: badCredential}
	}
	if len(all) == 0 {
		return credential{}
	}
	return parseCredential(all[0])
}

func parseCredential(value []byte) credential {
	value = bytes.Trim(value, " \t")
	if len(value) == 0 {
		return credential{}
	}
	if len(value) >= len(bearerScheme) && ascii.EqualFold(value[:len(bearerScheme)], bearerScheme) {
		rest := value[len(bearerScheme):]
		if len(rest) == 0 {
			return credential{}
		}
		if rest[0] == ' ' || rest[0] == '\t' {
			value = bytes.TrimLeft(rest, " \t")
			if !bytes.HasPrefix(value, []byte(tokenPrefix)) {
				if len(value) > maxJWT {
					return credential{kind: badCredential}
				}
				return credential{kind: jwtCredential, text: value}
			}
		}
	}
	if isAuthToken(value) {
		return credential{kind: tokenCredential, text: value}
	}
	return credential{kind: badCredential}
}

// isAuthToken checks the shape of a token; only users-svc knows whether there is such a one.
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

// tokenHash is the name under which an auth token is known: the hexadecimal SHA-256 of all of it.
func tokenHash(token []byte) string {
	sum := sha256.Sum256(token)
	return hex.EncodeToString(sum[:])
}
