package auth

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const issuer, audience = "realmgate", "clients"

func TestParseRefusesEveryTokenThatIsNotOurs(t *testing.T) {
	public, private, _ := ed25519.GenerateKey(nil)
	_, stranger, _ := ed25519.GenerateKey(nil)
	keys := map[string]ed25519.PublicKey{"k1": public}
	now := time.Now()
	good := Claims{UserID: "u", SessionID: "s", TokenID: "t", IssuedAt: now, ExpiresAt: now.Add(time.Minute)}
	sign := func(kid string, key ed25519.PrivateKey, c Claims, iss, aud string) string {
		token, err := SigningKey{ID: kid, Private: key}.Sign(c, iss, aud)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	old, noSession, noUser := good, good, good
	old.ExpiresAt = now.Add(-time.Second)
	noSession.SessionID, noUser.UserID = "", ""
	valid := sign("k1", private, good, issuer, audience)
	parts := strings.Split(valid, ".")
	claims := jwt.MapClaims{"sub": "u", "sid": "s", "iss": issuer, "aud": audience}
	noExpiry := jwt.NewWithClaims(jwt.SigningMethodEdDSA, maps.Clone(claims))
	noExpiry.Header["kid"] = "k1"
	forEver, _ := noExpiry.SignedString(private)
	claims["exp"] = now.Add(time.Hour).Unix()
	hs256, _ := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(public))
	none, _ := jwt.NewWithClaims(jwt.SigningMethodNone, claims).SignedString(jwt.UnsafeAllowNoneSignatureType)

	for name, c := range map[string]struct {
		token string
		want  error
	}{
		"a good one":                   {valid, nil},
		"an expired one":               {sign("k1", private, old, issuer, audience), ErrExpired},
		"an expired one of a stranger": {sign("k1", stranger, old, issuer, audience), ErrInvalid},
		"another issuer":               {sign("k1", private, good, "evil", audience), ErrInvalid},
		"another audience":             {sign("k1", private, good, issuer, "evil"), ErrInvalid},
		"an unknown key":               {sign("k2", private, good, issuer, audience), ErrUnknownKey},
		"a stranger's key":             {sign("k1", stranger, good, issuer, audience), ErrInvalid},
		"no session":                   {sign("k1", private, noSession, issuer, audience), ErrInvalid},
		"no user":                      {sign("k1", private, noUser, issuer, audience), ErrInvalid},
		"no expiry":                    {forEver, ErrInvalid},
		"HMAC with the public key":     {hs256, ErrInvalid},
		"alg none":                     {none, ErrInvalid},
		"claims of another token": {parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"x"}`)) + "." +
			parts[2], ErrInvalid},
		"nothing":                       {"", ErrInvalid},
		"dots":                          {"..", ErrInvalid},
		"a signature with a bit turned": {valid[:len(valid)-4] + "AAAA", ErrInvalid},
		"a signature's unused bits set": {valid[:len(valid)-1] + nextBase64(valid[len(valid)-1]), ErrInvalid},
		"padding":                       {valid + "==", ErrInvalid},
	} {
		got, err := Parse(c.token, keys, issuer, audience, time.Now)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
		if err != nil && got != (Claims{}) {
			t.Errorf("%s: refused, but claims %v", name, got)
		}
	}
}

// nextBase64 returns the digit after c. As the last digit of a signature, which has four unused
// bits, it stands for the same bytes.
func nextBase64(digit byte) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(digits[strings.IndexByte(digits, digit)+1])
}

func TestJWKSRoundTrip(t *testing.T) {
	public, _, _ := ed25519.GenerateKey(nil)
	raw, err := json.Marshal(JWKS{Keys: []JWK{NewJWK("k1", public), {KeyType: "RSA", ID: "other"},
		{KeyType: "OKP", Curve: "Ed25519", X: "AAAA", ID: "short"}}})
	if err != nil {
		t.Fatal(err)
	}
	var back JWKS
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	if keys := back.PublicKeys(); len(keys) != 1 || !public.Equal(keys["k1"]) {
		t.Errorf("keys %v, want the one Ed25519 key", keys)
	}
}

func TestIdentityIsBoundToItsServiceItsTimeAndItsKey(t *testing.T) {
	now := time.Now()
	clock := func() time.Time { return now }
	keyA, keyB := strings.Repeat("a", 32), strings.Repeat("b", 32)
	a, _ := NewInternalKeys(keyA, clock)
	b, _ := NewInternalKeys(keyB, clock)
	both, _ := NewInternalKeys(keyB+", "+keyA, clock)
	want := Identity{Kind: Token, UserID: "u", Grant: &Grant{VaultAccess: true,
		Permissions: []string{"resources.vault"}}}
	header, err := a.Sign(want, "vault-svc")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := both.Verify(header, "vault-svc"); err != nil || got.UserID != "u" ||
		!got.Grant.Allows("resources.vault") || got.Grant.Allows("resources") {
		t.Errorf("after a rotation: %+v, %v", got, err)
	}
	if _, err := a.Verify(header, "users-svc"); !errors.Is(err, ErrInvalid) {
		t.Errorf("another service accepted it: %v", err)
	}
	if _, err := b.Verify(header, "vault-svc"); !errors.Is(err, ErrInvalid) {
		t.Errorf("another key accepted it: %v", err)
	}
	signed := now
	now = signed.Add(IdentityTTL + IdentityLeeway - 2*time.Second)
	if _, err := a.Verify(header, "vault-svc"); err != nil {
		t.Errorf("by a clock that is a little behind: %v", err)
	}
	for _, late := range []time.Duration{IdentityLeeway + time.Second, 28 * time.Second, 10 * IdentityTTL} {
		now = signed.Add(IdentityTTL + late)
		if _, err := a.Verify(header, "vault-svc"); !errors.Is(err, ErrExpired) {
			t.Errorf("%v after its time: %v", late, err)
		}
	}
	if _, err := NewInternalKeys("short", clock); err == nil {
		t.Error("a short key was accepted")
	}
}

// TestEachServiceCanGetKeysOfItsOwnStepByStep goes through the states of an update in which the
// gateway and a service have the shared list, keys of their own, or both. The service must accept
// the gateway's identities, except when it was the first to drop the shared list.
func TestEachServiceCanGetKeysOfItsOwnStepByStep(t *testing.T) {
	t.Parallel()
	own, shared := strings.Repeat("o", 32), strings.Repeat("s", 32)
	read := func(own, shared string) *InternalKeys {
		t.Helper()
		k, err := ReadInternalKeys("VAULT_INTERNAL_KEYS", own, shared, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	old, both, done := read("", shared), read(own, shared), read(own, "")
	for name, c := range map[string]struct {
		gateway, service *InternalKeys
		works            bool
	}{
		"before": {old, old, true}, "the service has both": {old, both, true},
		"the gateway has both":             {both, old, true},
		"all have both":                    {both, both, true},
		"the gateway has dropped the list": {done, both, true}, "after": {done, done, true},
		"the list went from the service first": {both, done, false},
	} {
		header, err := c.gateway.Sign(Identity{Kind: System}, "vault-svc")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.service.Verify(header, "vault-svc"); (err == nil) != c.works {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]struct{ own, shared, says string }{
		"none":                    {"", "", "VAULT_INTERNAL_KEYS is required and not set"},
		"a short one":             {"x", shared, "VAULT_INTERNAL_KEYS: every internal key must"},
		"a short one in the list": {own, "x", "INTERNAL_KEYS: every internal key must"},
	} {
		if _, err := ReadInternalKeys("VAULT_INTERNAL_KEYS", c.own, c.shared, time.Now); err == nil ||
			!strings.HasPrefix(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %s", name, err, c.says)
		}
	}
}
