// Package realm provides the rule that decides which realm a request is about: the realm of the
// host, or the one that the query asks for (contract, section 8). The gateway, which routes and
// records by it, and the services, which answer by it, use the same functions.
//
// Start reading at Resolve.
package realm

import (
	"bytes"
	"strings"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/id"
)

// Parameter is the query parameter that names a realm.
const Parameter = "realm_id"

// Format is the message for a Parameter that Parse rejects.
const Format = "must be 24 hexadecimal characters"

// FromHost returns the realm that a Host header names: its first label when that label is exactly
// 24 hexadecimal characters and another label follows. The result is lower-cased; it is "" for any
// other host, IPv6 literals included.
func FromHost(host []byte) string {
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

// Parse reads the value of a Parameter, which may be in upper case. An empty value is not valid: it
// usually comes from a variable that was never set, and must not select every realm, or none.
func Parse(value string) (realm string, ok bool) {
	realm = strings.ToLower(value)
	if !id.Valid(realm) {
		return "", false
	}
	return realm, true
}

// Resolve returns the realm of a request whose query asks for one realm and whose host names
// another; each is "" when absent. Two different realms are 400 VALIDATION_ERROR.
func Resolve(asked, host string) (string, error) {
	switch {
	case asked == "":
		return host, nil
	case host != "" && asked != host:
		return "", apperr.InvalidField("/"+Parameter, "must be the realm of the host, or left out")
	}
	return asked, nil
}
