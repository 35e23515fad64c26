package bus

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"

	"github.com/nats-io/nats.go"
)

// FilesConfig names the TLS and credential files of a connection to NATS. The client's files are
// read again at each connection.
type FilesConfig struct {
	CA    string `env:"NATS_TLS_CA_FILE" doc:"Certificates (PEM) of the authorities of the NATS servers; connections are then TLS."`
	Cert  string `env:"NATS_TLS_CERT_FILE" doc:"Certificate (PEM) that this process shows to NATS; connections are then TLS."`
	Key   string `env:"NATS_TLS_KEY_FILE" doc:"Its private key (PEM)."`
	Creds string `env:"NATS_CREDS_FILE" doc:"Credentials file of NATS (user JWT and its seed), instead of a password in NATS_URL."`
}

// Validate checks that the files go together and can be read.
func (f FilesConfig) Validate() error {
	if (f.Cert == "") != (f.Key == "") {
		return errors.New("NATS_TLS_CERT_FILE and NATS_TLS_KEY_FILE go together")
	}
	if f.Creds != "" {
		if _, err := os.Stat(f.Creds); err != nil {
			return fmt.Errorf("NATS_CREDS_FILE: %w", err)
		}
	}
	if err := f.option(&nats.Options{}); err != nil {
		return fmt.Errorf("NATS_TLS_CA_FILE, NATS_TLS_CERT_FILE, NATS_TLS_KEY_FILE: %w", err)
	}
	return nil
}

// option returns the option that applies the settings to a connection.
func (f FilesConfig) option(o *nats.Options) error {
	var all []nats.Option
	if f.CA != "" || f.Cert != "" {
		all = append(all, nats.Secure(&tls.Config{MinVersion: tls.VersionTLS12}))
	}
	if f.CA != "" {
		all = append(all, nats.RootCAs(f.CA))
	}
	if f.Cert != "" {
		all = append(all, nats.ClientCert(f.Cert, f.Key))
	}
	if f.Creds != "" {
		all = append(all, nats.UserCredentials(f.Creds))
	}
	for _, set := range all {
		if err := set(o); err != nil {
			return err
		}
	}
	return nil
}
