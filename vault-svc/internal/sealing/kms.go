package sealing

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/tink-crypto/tink-go/v2/core/registry"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/realmgate/realmgate/pkg/config"
)

// KMSConfig names the key management service that wraps the keyset of VAULT_KEY_ENCRYPTION_KEY. The
// service is asked once, at the start.
type KMSConfig struct {
	URI    string        `env:"VAULT_KMS_URI" doc:"Key that wraps VAULT_KEY_ENCRYPTION_KEY: hcvault://host:port/transit/keys/name; without it the keyset is in clear."`
	Token  config.Secret `env:"VAULT_KMS_TOKEN" doc:"Token with which that service is asked to encrypt and decrypt."`
	CAFile string        `env:"VAULT_KMS_CA_FILE" doc:"Certificates (PEM) of its authorities; without it those of the system."`
}

// Validate checks the settings beyond their types.
func (c KMSConfig) Validate() error {
	if c.URI == "" {
		return nil
	}
	_, err := c.Open()
	return err
}

// Open returns the key that wraps keysets. It sends no request to the service. Support for another
// service is one more element in the list.
func (c KMSConfig) Open() (tink.AEAD, error) {
	for _, k := range []registry.KMSClient{transitClient{c}} {
		if k.Supported(c.URI) {
			return k.GetAEAD(c.URI)
		}
	}
	return nil, errors.New("VAULT_KMS_URI: write hcvault://host:port/transit/keys/name")
}

// transitClient is a client of the transit engine of HashiCorp Vault and OpenBao. Its addresses and
// ciphertexts are those of Tink's client (tink-go-hcvault). Tink's client is not used because its
// library reads the environment variables VAULT_*, which here are settings of vault-svc.
type transitClient struct{ cfg KMSConfig }

const transitScheme = "hcvault://"

// Supported implements registry.KMSClient.
func (t transitClient) Supported(uri string) bool { return strings.HasPrefix(uri, transitScheme) }

// kmsTimeout bounds one request to the service.
const kmsTimeout = 10 * time.Second

// GetAEAD implements registry.KMSClient.
func (t transitClient) GetAEAD(uri string) (tink.AEAD, error) {
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, errors.New("VAULT_KMS_URI: write hcvault://host:port/transit/keys/name")
	}
	mount, name, ok := strings.Cut(strings.TrimPrefix(u.EscapedPath(), "/"), "/keys/")
	if !ok || mount == "" || name == "" || strings.Contains(name, "/") {
		return nil, errors.New("VAULT_KMS_URI: the path is <mount>/keys/<name>")
	}
	if t.cfg.Token == "" {
		return nil, errors.New("VAULT_KMS_TOKEN is needed with VAULT_KMS_URI")
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.cfg.CAFile != "" {
		pem, err := os.ReadFile(t.cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("VAULT_KMS_CA_FILE: %w", err)
		}
		if secure.RootCAs = x509.NewCertPool(); !secure.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("VAULT_KMS_CA_FILE holds no certificate")
		}
	}
	base := "https://" + u.Host + "/v1/" + mount
	return &transitKey{
		client: &http.Client{Timeout: kmsTimeout,
			Transport: &http.Transport{TLSClientConfig: secure, DisableKeepAlives: true}}, token: t.cfg.Token,
		encrypt: base + "/encrypt/" + name, decrypt: base + "/decrypt/" + name,
	}, nil
}

// transitKey is one key of a transit engine.
type transitKey struct {
	client           *http.Client
	token            config.Secret
	encrypt, decrypt string
}

// transitMessage is the body of a request and the data of an answer. JSON encodes bytes in base64.
type transitMessage struct {
	Plaintext      []byte `json:"plaintext,omitempty"`
	Ciphertext     string `json:"ciphertext,omitempty"`
	AssociatedData []byte `json:"associated_data,omitempty"`
}

// Encrypt implements tink.AEAD.
func (k *transitKey) Encrypt(plaintext, associatedData []byte) ([]byte, error) {
	out, err := k.ask(k.encrypt, transitMessage{Plaintext: plaintext, AssociatedData: associatedData})
	if err == nil && out.Ciphertext == "" {
		err = errors.New("KMS: an answer without a ciphertext")
	}
	return []byte(out.Ciphertext), err
}

// Decrypt implements tink.AEAD.
func (k *transitKey) Decrypt(ciphertext, associatedData []byte) ([]byte, error) {
	out, err := k.ask(k.decrypt, transitMessage{Ciphertext: string(ciphertext), AssociatedData: associatedData})
	return out.Plaintext, err
}

// maxKMSAnswer bounds the size of an answer in bytes.
const maxKMSAnswer = 1 << 20

func (k *transitKey) ask(at string, question transitMessage) (transitMessage, error) {
	var answer struct{ Data transitMessage }
	body, err := json.Marshal(question)
	if err != nil {
		return answer.Data, err
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPut, at, bytes.NewReader(body))
	if err != nil {
		return answer.Data, err
	}
	req.Header.Set("X-Vault-Token", k.token.Reveal())
	req.Header.Set("X-Vault-Request", "true")
	req.Header.Set("Content-Type", "application/json")
	res, err := k.client.Do(req)
	if err != nil {
		return answer.Data, fmt.Errorf("KMS: %w", err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxKMSAnswer))
	switch {
	case err != nil:
		return answer.Data, fmt.Errorf("KMS: %w", err)
	case res.StatusCode != http.StatusOK:
		return answer.Data, fmt.Errorf("KMS answers %d: %.200s", res.StatusCode, raw)
	case json.Unmarshal(raw, &answer) != nil:
		return answer.Data, errors.New("KMS: an answer that is not JSON of the transit engine")
	}
	return answer.Data, nil
}
