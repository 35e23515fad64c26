package vault

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
)

// transitServer starts a server that answers like the transit engine of HashiCorp Vault. It has the
// key "realmgate" and accepts the token "t0ken".
func transitServer(t *testing.T) (sealing.KMSConfig, *atomic.Int64) {
	t.Helper()
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	key, err := aead.New(h)
	if err != nil {
		t.Fatal(err)
	}
	asked := &atomic.Int64{}
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		var q struct {
			Plaintext, Ciphertext string
			AssociatedData        string `json:"associated_data"`
		}
		_ = json.NewDecoder(r.Body).Decode(&q)
		ad, _ := base64.StdEncoding.DecodeString(q.AssociatedData)
		data := map[string]any{}
		switch {
		case r.Header.Get("X-Vault-Token") != "t0ken":
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"errors":["permission denied"]}`))
			return
		case r.URL.Path == "/v1/transit/encrypt/realmgate":
			plain, _ := base64.StdEncoding.DecodeString(q.Plaintext)
			sealed, _ := key.Encrypt(plain, ad)
			data["ciphertext"], data["key_version"] = "vault:v1:"+base64.StdEncoding.EncodeToString(sealed), 1
		case r.URL.Path == "/v1/transit/decrypt/realmgate":
			sealed, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(q.Ciphertext, "vault:v1:"))
			plain, err := key.Decrypt(sealed, ad)
			if err != nil {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = w.Write([]byte(`{"errors":["cipher: message authentication failed"]}`))
				return
			}
			data["plaintext"] = base64.StdEncoding.EncodeToString(plain)
		default:
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"request_id": "r", "lease_duration": 0, "data": data})
	}))
	t.Cleanup(s.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}),
		0o600); err != nil {
		t.Fatal(err)
	}
	uri := strings.Replace(s.URL, "https://", "hcvault://", 1) + "/transit/keys/realmgate"
	return sealing.KMSConfig{URI: uri, Token: "t0ken",
		CAFile: ca}, asked
}

func TestAKMSWrapsTheKeyset(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	s.put(u, "k", "", "a value")
	kms, asked := transitServer(t)

	// An installation with a clear keyset moves to the KMS.
	cfg := s.cfg
	cfg.KMS = kms
	wrapped, err := command(t, cfg, "keys wrap")
	if err != nil || strings.Contains(wrapped, "keyValue") || !strings.Contains(wrapped, "encryptedKeyset") {
		t.Fatalf("keys wrap: %v\n%s", err, wrapped)
	}
	cfg.KeyEncryption = config.Secret(strings.TrimSpace(wrapped))
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	moved := run(t, cfg)
	before := asked.Load()
	for range 5 {
		got := moved.call(u, "GET", "/api/v1/vault/keys/k", nil)
		if got.status != 200 || *got.item(t).Value != "a value" {
			t.Errorf("with the KMS: %s", got.raw)
		}
	}
	if n := asked.Load() - before; n != 0 {
		t.Errorf("the KMS was asked %d times by requests", n)
	}
	// Keys are replaced with the same commands as without a KMS.
	for _, name := range []string{"keys add", "keys promote"} {
		text, err := command(t, cfg, name)
		if err != nil || !strings.Contains(text, "encryptedKeyset") {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		cfg.KeyEncryption = config.Secret(strings.TrimSpace(text))
	}
	if out, err := command(t, cfg, "keys rotate"); err != nil || !strings.Contains(out, "1 of 1 wrapped") {
		t.Errorf("keys rotate: %v\n%s", err, out)
	}
	if out, err := command(t, cfg, "verify"); err != nil || !strings.Contains(out, "1 items, 0 of them do not open") {
		t.Errorf("verify: %v\n%s", err, out)
	}
}

func TestTheKeysetDoesNotOpenWhenTheKMSRefuses(t *testing.T) {
	t.Parallel()
	kms, _ := transitServer(t)
	cfg := Config{KMS: kms}
	text, err := command(t, cfg, "keys generate")
	if err != nil || !strings.Contains(text, "encryptedKeyset") {
		t.Fatalf("keys generate: %v\n%s", err, text)
	}
	clear, err := command(t, Config{}, "keys generate")
	if err != nil {
		t.Fatal(err)
	}
	cfg.KeyEncryption = config.Secret(text)
	if _, err := cfg.keyset(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Config)
		says   string
	}{
		"a wrong token":  {func(c *Config) { c.KMS.Token = "another" }, "403"},
		"another key":    {func(c *Config) { c.KMS.URI += "2" }, "404"},
		"a clear keyset": {func(c *Config) { c.KeyEncryption = config.Secret(clear) }, "VAULT_KEY_ENCRYPTION_KEY"},
		"a changed keyset": {func(c *Config) {
			c.KeyEncryption = config.Secret(strings.Replace(text, `"encryptedKeyset":"`, `"encryptedKeyset":"AAAA`, 1))
		}, "unwraps"},
		"no server": {func(c *Config) { c.KMS.URI = "hcvault://127.0.0.1:1/transit/keys/realmgate" },
			"refused"},
		"a stranger's certificate":  {func(c *Config) { c.KMS.CAFile = "" }, "certificate"},
		"no token":                  {func(c *Config) { c.KMS.Token = "" }, "VAULT_KMS_TOKEN"},
		"an unknown service":        {func(c *Config) { c.KMS.URI = "aws-kms://arn" }, "VAULT_KMS_URI"},
		"an address without a name": {func(c *Config) { c.KMS.URI = "hcvault://h/transit" }, "VAULT_KMS_URI"},
	} {
		changed := cfg
		c.change(&changed)
		if _, err := changed.keyset(); err == nil || !strings.Contains(err.Error(), c.says) ||
			strings.Contains(err.Error(), "t0ken") {
			t.Errorf("%s: got %v, want %q", name, err, c.says)
		}
	}
}
