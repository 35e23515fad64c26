package gateway

import (
	"bytes"

	"github.com/realmgate/realmgate/pkg/id"
)

// hostRealm returns the realm that a Host header names: its first label when that is exactly 24
// hexadecimal characters, lower-cased, and something follows it; "" otherwise (contract, section
// 8). Ports and IPv6 literals name no realm.
func hostRealm(host []byte) string {
	if len(host) <= id.Len || host[id.Len] != '.' {
		return ""
	}
	if rest := host[id.Len+1:]; len(rest) == 0 || rest[0] == ':' || rest[0] == '.' {
		return ""
	}
	realm := string(bytes.ToLower(host[:id.Len]))
	if !id.Valid(realm) {
		return ""
	}
	return realm
}
