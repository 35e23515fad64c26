package identity

import (
	"strings"
	"testing"
)

func TestCredentialsAreReadFromTheAuthorizationHeader(t *testing.T) {
	t.Parallel()
	token := "hdy_507f1f77bcf86cd799439011_" + strings.Repeat("0123456789ab", 4)
	for value, want := range map[string]credentialKind{
		"":                                  noCredential,
		"  ":                                noCredential,
		"Bearer":                            noCredential,
		"Bearer a.b.c":                      jwtCredential,
		"bearer a.b.c":                      jwtCredential,
		"Bearer   a.b.c":                    jwtCredential,
		"Bearer " + token:                   tokenCredential,
		"BEARER " + token:                   tokenCredential,
		token:                               tokenCredential,
		token[:len(token)-1]:                malformedCredential,
		token + "0":                         malformedCredential,
		"Bearer hdy_x":                      malformedCredential,
		"Basic YTpi":                        malformedCredential,
		"a.b.c":                             malformedCredential,
		"Bearera.b.c":                       malformedCredential,
		strings.Replace(token, "_", "-", 2): malformedCredential,
		"Bearer " + strings.Repeat("a", maxJWT+1): malformedCredential,
	} {
		if got := parseCredential([]byte(value)).kind; got != want {
			t.Errorf("%.60q: %d, want %d", value, got, want)
		}
	}
}

func FuzzCredential(f *testing.F) {
	f.Add([]byte("Bearer a.b.c"))
	f.Add([]byte("hdy_507f1f77bcf86cd799439011_" + strings.Repeat("0123456789ab", 4)))
	f.Fuzz(func(t *testing.T, value []byte) {
		c := parseCredential(value)
		if c.kind == tokenCredential && !isAuthToken(c.text) || c.kind == jwtCredential &&
			(len(c.text) == 0 || len(c.text) > maxJWT) {
			t.Fatalf("%q was read as %d %q", value, c.kind, c.text)
		}
	})
}
