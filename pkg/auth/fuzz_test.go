package auth_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
)

// FuzzIdentityHeader checks that no identity can be made without a key, not even by changing a
// valid one.
func FuzzIdentityHeader(f *testing.F) {
	now := time.Unix(1_800_000_000, 0)
	keys, err := auth.NewInternalKeys("a key of the fuzz target that is long enough", func() time.Time { return now })
	if err != nil {
		f.Fatal(err)
	}
	signed := auth.Identity{Kind: auth.Session, UserID: "019a3c1d2e3f000000000001",
		SessionID:  "019a3c1d2e3f000000000002",
		ClientAddr: "192.0.2.1"}
	header, err := keys.Sign(signed, "vault-svc")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		header, "", ".", "..", "a.b.c", header + ".", "eyJhbGciOiJub25lIn0.eyJraW5kIjoic3lzdGVtIn0.",
		header[:len(header)-1],
		"." + header,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := keys.Verify(s, "vault-svc")
		if (err == nil) != (s == header) || err == nil && got != signed {
			t.Errorf("%q is taken for %+v, %v", s, got, err)
		}
		if _, err := keys.Verify(s, "users-svc"); err == nil {
			t.Errorf("%q is taken by a service that it is not for", s)
		}
	})
}

// FuzzAccessToken checks that only the signed text itself is a valid token, and no variation of it.
// Unknown keys, other algorithms and claims of any JSON are refused without a panic.
func FuzzAccessToken(f *testing.F) {
	now := time.Unix(1_800_000_000, 0)
	private := ed25519.NewKeyFromSeed([]byte("a seed of 32 bytes for the fuzzer"[:ed25519.SeedSize]))
	keys := map[string]ed25519.PublicKey{"k1": private.Public().(ed25519.PublicKey)}
	signed := auth.Claims{UserID: "019a3c1d2e3f000000000001", SessionID: "019a3c1d2e3f000000000002", TokenID: "t",
		IssuedAt: now, ExpiresAt: now.Add(time.Minute)}
	token, err := auth.SigningKey{ID: "k1", Private: private}.Sign(signed, "realmgate", "clients")
	if err != nil {
		f.Fatal(err)
	}
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	for _, seed := range []string{
		token, "", ".", "..", "...", token + ".", token + "=", token[:len(token)-1], token[:len(token)-1] + "R",
		part(`{"alg":"none"}`) + "." + part(`{"sub":"a","sid":"b"}`) + ".",
		part(`{"alg":"HS256","kid":"k1"}`) + "." + part(`{"exp":1e400}`) + "." + part("x"),
		part(`{"alg":"EdDSA","kid":"k1"}`) + "." + part(`{"aud":[["clients"]],"exp":"never"}`) + "." + part("x"),
		part(`{"alg":"EdDSA","kid":["k1"]}`) + "." + part(`{"sub":null}`) + "." + part("x"),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := auth.Parse(s, keys, "realmgate", "clients", func() time.Time { return now })
		if (err == nil) != (s == token) {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
		if err != nil && got != (auth.Claims{}) {
			t.Errorf("%q is refused, but claims %+v", s, got)
		}
	})
}
