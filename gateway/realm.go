package gateway

import (
	"bytes"

	"github.com/realmgate/realmgate/pkg/id"
)

// hostRealm returns the realm that a Host header names: its first label when that is exactly 24 hexadecimal characters, lower-cased, and
// something follows it; "" otherwise (contract, section 8). Ports and IPv6 literals name no realm.
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

// saneHost reports whether a Host header can be one: a name or a literal of at most 255 characters, with or without a port.
func saneHost(host []byte) bool {
	if len(host) == 0 || len(host) > 255+len(":65535") {
		return false
	}
	for _, c := range host {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		case c == '.', c == '-', c == '_', c == ':', c == '[', c == ']', c == '%':
		default:
			return false
		}
	}
	return true
}
