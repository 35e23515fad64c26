package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// SecretURL parses text, the value of the setting name, as a URL that may hold a password. It
// refuses a password that is not percent-encoded: libraries split such a URL in different places,
// mistake a part of the password for the host, look that up in the DNS and print it. The error
// shows example and no part of text.
func SecretURL(name, text, example string, schemes ...string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || !slices.Contains(schemes, u.Scheme) || u.Opaque != "" || ambiguous(text) {
		return nil, SecretURLError(name, example)
	}
	return u, nil
}

// SecretURLError returns the error for a setting that holds a URL with a password. It takes the
// place of a library's error, which may quote the password.
func SecretURLError(name, example string) error {
	return fmt.Errorf("%s is not a URL such as %s; percent-encode special characters of the password: "+
		"@ as %%40, : as %%3A, / as %%2F, ? as %%3F, # as %%23, %% as %%25, a comma as %%2C", name, example)
}

// ambiguous reports whether a raw character in the password of the URL may end the password early.
func ambiguous(text string) bool {
	_, rest, found := strings.Cut(text, "://")
	authority := rest
	if end := strings.IndexAny(rest, "/?"); end >= 0 {
		authority = rest[:end]
	}
	return !found || strings.Count(rest, "@") != strings.Count(authority, "@") || strings.Count(rest, "@") > 1 ||
		strings.ContainsAny(rest, "#\\ ")
}
