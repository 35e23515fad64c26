// Package oidctest provides an issuer of OpenID Connect for tests, with discovery, keys, and token
// and userinfo endpoints. Start reading at Start and Issuer.Approve.
package oidctest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Issuer is a running issuer. Tests make it misbehave by its exported fields, which they change in
// Set.
type Issuer struct {
	URL string
	t   testing.TB
	mu  sync.Mutex

	Key       ed25519.PrivateKey // signs ID tokens
	KeyID     string
	Published map[string]ed25519.PublicKey // by key id
	Down      bool                         // every endpoint answers 503
	KeysDown  bool                         // the keys alone do
	Userinfo  map[string]any               // nil: there is no such endpoint
	Sign      func(jwt.MapClaims) string   // replaces the signing of ID tokens; nil: Signed
	// Discovered counts the reads of the metadata.
	Discovered int
	codes      map[string]*grant
}

// grant is a code of the issuer with the request that it answers.
type grant struct {
	claims    jwt.MapClaims
	challenge string
}

// Client and Secret are the credentials of the relying party.
const (
	Client = "realmgate"
	Secret = "client secret of the tests"
)

// Start runs an issuer until the end of the test.
func Start(t testing.TB) *Issuer {
	i := &Issuer{t: t, codes: map[string]*grant{}}
	i.Rotate("k1")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", i.metadata)
	mux.HandleFunc("GET /keys", i.keys)
	mux.HandleFunc("POST /token", i.token)
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, i.Userinfo) })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.Down || i.KeysDown && r.URL.Path == "/keys" {
			reply(w, 503, map[string]any{"error": "temporarily_unavailable"})
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	i.URL = server.URL
	return i
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// Set changes the fields of the issuer in change.
func (i *Issuer) Set(change func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change()
}

// Rotate replaces the signing key and publishes only the new one.
func (i *Issuer) Rotate(keyID string) {
	public, private, _ := ed25519.GenerateKey(nil)
	i.Set(func() { i.Key, i.KeyID, i.Published = private, keyID, map[string]ed25519.PublicKey{keyID: public} })
}

func (i *Issuer) metadata(w http.ResponseWriter, _ *http.Request) {
	i.Discovered++
	m := map[string]any{"issuer": i.URL, "authorization_endpoint": i.URL + "/authorize",
		"token_endpoint": i.URL + "/token", "jwks_uri": i.URL + "/keys",
		"id_token_signing_alg_values_supported": []string{"EdDSA", "HS256", "none"}}
	if i.Userinfo != nil {
		m["userinfo_endpoint"] = i.URL + "/userinfo"
	}
	reply(w, 200, m)
}

func (i *Issuer) keys(w http.ResponseWriter, _ *http.Request) {
	keys := []map[string]string{}
	for kid, key := range i.Published {
		keys = append(keys, map[string]string{"kty": "OKP", "crv": "Ed25519", "kid": kid, "use": "sig", "alg": "EdDSA",
			"x": base64.RawURLEncoding.EncodeToString(key)})
	}
	reply(w, 200, map[string]any{"keys": keys})
}

func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	id, secret, ok := r.BasicAuth()
	if !ok {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	if decoded, err := url.QueryUnescape(secret); err == nil {
		secret = decoded
	}
	code := r.PostForm.Get("code")
	g := i.codes[code]
	sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	if id != Client || secret != Secret || g == nil ||
		g.challenge != base64.RawURLEncoding.EncodeToString(sum[:]) {
		reply(w, 400, map[string]any{"error": "invalid_grant"})
		return
	}
	delete(i.codes, code)
	raw := i.Signed(g.claims)
	if i.Sign != nil {
		raw = i.Sign(g.claims)
	}
	reply(w, 200, map[string]any{"access_token": "at", "token_type": "Bearer", "expires_in": 60, "id_token": raw})
}

// Signed returns an ID token with the claims, signed with the issuer's key.
func (i *Issuer) Signed(claims jwt.MapClaims) string {
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
	token.Header["kid"] = i.KeyID
	raw, err := token.SignedString(i.Key)
	if err != nil {
		i.t.Error(err)
	}
	return raw
}

// Approve answers an authorization request as a person with the claims does, and returns the query
// of the callback. Claims that are nil are left out.
func (i *Issuer) Approve(location string, claims map[string]any) url.Values {
	i.t.Helper()
	u, err := url.Parse(location)
	if err != nil {
		i.t.Fatal(err)
	}
	q := u.Query()
	if q.Get("code_challenge_method") != "S256" || q.Get("client_id") != Client || q.Get("response_type") != "code" {
		i.t.Fatalf("the authorization request is %s", location)
	}
	all := jwt.MapClaims{"iss": i.URL, "aud": Client, "nonce": q.Get("nonce"),
		"iat": jwt.NewNumericDate(time.Now()), "exp": jwt.NewNumericDate(time.Now().Add(24 * time.Hour))}
	maps.Copy(all, claims)
	for name, value := range all {
		if value == nil {
			delete(all, name)
		}
	}
	code := rand.Text()
	i.Set(func() { i.codes[code] = &grant{all, q.Get("code_challenge")} })
	return url.Values{"code": {code}, "state": {q.Get("state")}, "session_state": {"as some issuers add"}}
}
