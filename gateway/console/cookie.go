package console

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/realmgate/realmgate/pkg/ascii"
)

// The names of the cookie. Browsers accept the first only from https and for the whole host
// (RFC 6265bis, section 4.1.3.2), so that no neighbour can set it. The second is for plain http to
// a loopback name, which browsers trust although they do not accept the first there.
const (
	secureCookie   = "__Host-realmgate"
	loopbackCookie = "realmgate"
)

// cookieName returns the name of the cookie for a host; ok is false on plain http to a name that is
// not loopback, where no cookie is safe.
func cookieName(secure bool, host string) (name string, ok bool) {
	switch {
	case secure:
		return secureCookie, true
	case isLoopback(host):
		return loopbackCookie, true
	}
	return "", false
}

// isLoopback reports whether the value of a Host header names this machine: localhost, *.localhost
// (RFC 6761, section 6.3), 127.0.0.0/8 or [::1].
func isLoopback(host string) bool {
	if name, ok := strings.CutPrefix(host, "["); ok {
		name, _, _ = strings.Cut(name, "]")
		return name == "::1"
	}
	name, _, _ := strings.Cut(host, ":")
	if addr, err := netip.ParseAddr(name); err == nil {
		return addr.Is4() && addr.IsLoopback()
	}
	name = strings.ToLower(name)
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// maxCookieValues bounds how many values of one cookie are used.
const maxCookieValues = 4

// cookieValues returns the different values that a request sends for a cookie, at most
// maxCookieValues of them. More than one means that some value was set for another path or by
// another site of the host.
func cookieValues(lines []string, name string) []string {
	var values []string
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			key, value, ok := strings.Cut(strings.Trim(pair, " \t"), "=")
			if !ok || key != name || slices.Contains(values, value) || len(values) == maxCookieValues {
				continue
			}
			values = append(values, value)
		}
	}
	return values
}

// isToken reports whether a cookie's value can be a refresh token: base64url characters and dots.
func isToken(value string) bool {
	const maxToken = 1024
	return value != "" && len(value) <= maxToken && strings.IndexFunc(value, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-' || r == '_' || r == '.')
	}) < 0
}

// setCookie returns the value of Set-Cookie; maxAge is in seconds, 0 removes the cookie.
func setCookie(name, value string, maxAge int64) string {
	line := fmt.Sprintf("%s=%s; Path=/; Max-Age=%d; HttpOnly; SameSite=Strict", name, value, maxAge)
	if name == secureCookie {
		line += "; Secure"
	}
	return line
}

// origin returns the origin (RFC 6454, section 6.2) of pages of the host, in lower case and without
// the default port of its scheme.
func origin(secure bool, host string) string {
	scheme, port := "http://", ":80"
	if secure {
		scheme, port = "https://", ":443"
	}
	return scheme + strings.TrimSuffix(strings.ToLower(host), port)
}

// sameHost reports whether an origin has the host and port of a request, whatever its scheme is.
func sameHost(given, host string) bool {
	return ascii.EqualFold(given, origin(true, host)) || ascii.EqualFold(given, origin(false, host))
}
