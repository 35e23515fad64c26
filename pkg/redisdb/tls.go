package redisdb

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLSConfig names the certificates of connections to Redis. The client's own are read again for
// each connection.
type TLSConfig struct {
	CA   string `env:"REDIS_TLS_CA_FILE" doc:"Certificates (PEM) of the authorities of the Redis servers; connections are then TLS."`
	Cert string `env:"REDIS_TLS_CERT_FILE" doc:"Certificate (PEM) that this process shows to Redis; connections are then TLS."`
	Key  string `env:"REDIS_TLS_KEY_FILE" doc:"Its private key (PEM)."`
}

// config adds the files to the TLS settings that REDIS_URL implies; nil means plain connections.
func (f TLSConfig) config(url *tls.Config) (*tls.Config, error) {
	if (f.Cert == "") != (f.Key == "") {
		return nil, errors.New("REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE go together")
	}
	if f.CA == "" && f.Cert == "" {
		return url, nil
	}
	out := url
	if out == nil {
		out = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, fmt.Errorf("REDIS_TLS_CA_FILE: %w", err)
		}
		if out.RootCAs = x509.NewCertPool(); !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("REDIS_TLS_CA_FILE: no certificate in %s", f.CA)
		}
	}
	if f.Cert != "" {
		load := func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
			return &pair, err
		}
		if _, err := load(); err != nil {
			return nil, fmt.Errorf("REDIS_TLS_CERT_FILE, REDIS_TLS_KEY_FILE: %w", err)
		}
		out.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return out, nil
}
