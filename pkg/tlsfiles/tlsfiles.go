// Package tlsfiles owns certificates that are read from files and read again when the files change:
// the certificate of the public door, and those with which the gateway and the services know each
// other. Connections that are open stay as they are; new ones get what the files say now. Start
// reading at Files.
package tlsfiles

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/realmgate/realmgate/pkg/ascii"
)

// look is how long a handshake trusts that the files are as they were.
const look = time.Second

// tellEvery is how often the log repeats that a client is not the gateway.
const tellEvery = 10 * time.Second

// Files is a certificate with its key, and the authorities by which the other side is judged. Its
// methods are safe for concurrent use.
//
// The files are looked at by the first handshake of each second, by content: a folder that is
// exchanged as a whole, as Kubernetes does, is noticed as well as a file that is written again.
// What cannot be read or does not fit together is logged, and the last good state stays.
type Files struct {
	cert, key, ca string
	gateway       string // the name that a client's certificate must have; "": any
	log           *slog.Logger
	told          rate.Sometimes

	mu     sync.Mutex
	looked time.Time
	sum    [sha256.Size]byte // of the content that current was made from
	failed [sha256.Size]byte // of the content that was complained about last
	state  *state
}

// state is what the files said.
type state struct {
	cert        tls.Certificate
	authorities *x509.CertPool // nil: the other side is not asked for a certificate
	server      *tls.Config    // kept, so that a client resumes its session until the files change
}

// Open reads a certificate chain and its key, and the certificates of the authorities when ca is
// not empty; all are PEM. An error names the file.
func Open(cert, key, ca string, log *slog.Logger) (*Files, error) {
	return open(cert, key, ca, "", log)
}

func open(cert, key, ca, gateway string, log *slog.Logger) (*Files, error) {
	f := &Files{cert: cert, key: key, ca: ca, gateway: gateway, log: log, told: rate.Sometimes{Interval: tellEvery}}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f, f.read()
}

// read takes on what the files say.
func (f *Files) read() error {
	f.looked = time.Now()
	var all [3][]byte
	sum := sha256.New()
	for i, path := range []string{f.cert, f.key, f.ca} {
		if path == "" {
			continue
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		all[i] = content
		fmt.Fprintf(sum, "%d ", len(content))
		sum.Write(content)
	}
	if now := [sha256.Size]byte(sum.Sum(nil)); now != f.sum || f.state == nil {
		s, err := parse(all[0], all[1], all[2])
		if err != nil {
			return fmt.Errorf("%s, %s: %w", f.cert, f.key, err)
		}
		if s.authorities != nil && f.gateway != "" {
			s.server.VerifyConnection = f.isGateway
		}
		f.state, f.sum = s, now
	}
	return nil
}

// isGateway refuses a client whose certificate lacks the gateway's name: the services have
// certificates of the same authority. The name must be written there as it is; a wildcard does not
// count.
func (f *Files) isGateway(c tls.ConnectionState) error {
	cert := c.PeerCertificates[0] // there is one, because the server requires it
	if slices.ContainsFunc(cert.DNSNames, func(name string) bool { return ascii.EqualFold(name, f.gateway) }) ||
		slices.ContainsFunc(cert.URIs, func(uri *url.URL) bool { return uri.String() == f.gateway }) {
		return nil
	}
	f.told.Do(func() {
		f.log.Warn("refused a client whose certificate is not the gateway's (INTERNAL_TLS_GATEWAY_NAME)",
			"want", f.gateway, "subject", cert.Subject.String(), "dns_names", cert.DNSNames)
	})
	return errNotGateway
}

var errNotGateway = errors.New("the client's certificate does not have the gateway's name")

func parse(cert, key, ca []byte) (*state, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	s := &state{cert: pair}
	if len(ca) > 0 {
		s.authorities = x509.NewCertPool()
		if !s.authorities.AppendCertsFromPEM(ca) {
			return nil, errors.New("no certificate of an authority")
		}
	}
	s.server = &tls.Config{
		MinVersion: tls.VersionTLS12, CipherSuites: authenticated(), NextProtos: []string{"http/1.1"},
		Certificates: []tls.Certificate{pair},
	}
	if s.authorities != nil {
		s.server.ClientCAs, s.server.ClientAuth = s.authorities, tls.RequireAndVerifyClientCert
	}
	return s, nil
}

// authenticated returns the cipher suites of TLS 1.2 that encrypt and authenticate in one step
// (AEAD), with forward secrecy; all those of TLS 1.3 do. Clients without them are older than 2014.
func authenticated() []uint16 {
	return []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
}

// now returns the state of the files, which it looks at once a second.
func (f *Files) now() *state {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.looked) < look {
		return f.state
	}
	before := f.sum
	err := f.read()
	switch {
	case err != nil:
		if sum := sha256.Sum256([]byte(err.Error())); sum != f.failed {
			f.failed = sum
			f.log.Error("certificate files cannot be used; the last good ones stay", "error", err.Error())
		}
	case before != f.sum:
		f.failed = [sha256.Size]byte{}
		f.log.Info("certificate files were read again", "cert", f.cert)
	}
	return f.state
}

// Listener makes ln speak TLS 1.2 or later. When the files have authorities, a client must show a
// certificate by one of them.
func (f *Files) Listener(ln net.Listener) net.Listener {
	return &listener{Listener: ln, config: &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return f.now().server, nil
		},
	}}
}

// Client shakes hands on conn, an open connection to the server that must prove to be name, a host
// name or an address, to one of the authorities; it shows the certificate to a server that asks.
// After an error conn is of no use.
func (f *Files) Client(conn net.Conn, name string) *tls.Conn {
	s := f.now()
	return tls.Client(conn, &tls.Config{
		MinVersion: tls.VersionTLS12, CipherSuites: authenticated(), NextProtos: []string{"http/1.1"},
		ServerName: name, RootCAs: s.authorities, Certificates: []tls.Certificate{s.cert},
	})
}

// listener is tls.NewListener's with the deadline that a stop needs to take the connections that
// wait already.
type listener struct {
	net.Listener
	config *tls.Config
}

// Accept returns a connection whose handshake happens at its first read or write, by whoever reads,
// under that one's deadline.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tls.Server(c, l.config), nil
}

// SetDeadline bounds Accept, when the listener underneath can.
func (l *listener) SetDeadline(t time.Time) error {
	timed, ok := l.Listener.(interface{ SetDeadline(time.Time) error })
	if !ok {
		return errors.ErrUnsupported
	}
	return timed.SetDeadline(t)
}

// Public is the settings of a door that anybody may knock at.
type Public struct {
	Cert string `env:"TLS_CERT_FILE" doc:"Certificate chain (PEM) of the public port, read again when it changes; without it the port speaks plain HTTP."`
	Key  string `env:"TLS_KEY_FILE" doc:"Its private key (PEM)."`
}

// Validate checks what tags cannot say.
func (c Public) Validate() error {
	if (c.Cert == "") != (c.Key == "") {
		return errors.New("TLS_CERT_FILE and TLS_KEY_FILE go together")
	}
	_, err := c.Open(slog.New(slog.DiscardHandler))
	return err
}

// Open returns nil when the settings are empty.
func (c Public) Open(log *slog.Logger) (*Files, error) {
	if c.Cert == "" {
		return nil, nil
	}
	f, err := Open(c.Cert, c.Key, "", log)
	return f, named("TLS_CERT_FILE", err)
}

// Internal is the settings by which the gateway and the services know each other.
type Internal struct {
	Cert    string `env:"INTERNAL_TLS_CERT_FILE" doc:"Certificate (PEM) for mutual TLS between gateway and services, read again when it changes; without it plain HTTP."`
	Key     string `env:"INTERNAL_TLS_KEY_FILE" doc:"Its private key (PEM)."`
	CA      string `env:"INTERNAL_TLS_CA_FILE" doc:"Certificates (PEM) of the authorities that the other side's certificate must come from; keep them for this purpose only."`
	Gateway string `env:"INTERNAL_TLS_GATEWAY_NAME" envDefault:"gateway" doc:"DNS name or URI in the gateway's certificate; a service takes connections from it only."`
}

// Validate checks what tags cannot say.
func (c Internal) Validate() error {
	if (c.Cert == "") != (c.Key == "") || (c.Cert == "") != (c.CA == "") {
		return errors.New("INTERNAL_TLS_CERT_FILE, INTERNAL_TLS_KEY_FILE and INTERNAL_TLS_CA_FILE go together")
	}
	_, err := c.Open(slog.New(slog.DiscardHandler))
	return err
}

// Open returns nil when the settings are empty.
func (c Internal) Open(log *slog.Logger) (*Files, error) {
	if c.Cert == "" {
		return nil, nil
	}
	f, err := open(c.Cert, c.Key, c.CA, c.Gateway, log)
	return f, named("INTERNAL_TLS_CERT_FILE", err)
}

func named(setting string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", setting, err)
	}
	return nil
}
