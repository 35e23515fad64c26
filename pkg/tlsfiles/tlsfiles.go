// Package tlsfiles provides TLS with certificates from files, which are read again when they
// change: the certificate of the public port, and the certificates of mutual TLS between the
// gateway and the services. A new connection uses the current files; open connections stay as they
// are. Start reading at Files.
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

// checkInterval is how long a handshake relies on the last check of the files.
const checkInterval = time.Second

// logInterval is how often the log repeats that a client is not the gateway.
const logInterval = 10 * time.Second

// Files is a certificate with its key, and the authorities that must have signed the other side's
// certificate. Its methods are safe for concurrent use.
//
// The first handshake of each second compares the content of the files. So it notices a folder that
// is replaced as a whole, as Kubernetes does, as well as a file that is written again. Files that
// cannot be read or do not fit together are logged, and the last good state stays.
type Files struct {
	cert, key, ca string
	gateway       string // the name that a client's certificate must have; "": any
	log           *slog.Logger
	refusals      rate.Sometimes

	mu     sync.Mutex
	looked time.Time
	sum    [sha256.Size]byte // of the content that state was made from
	failed [sha256.Size]byte // of the error that was logged last
	state  *state
}

// state is the parsed content of the files.
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
	f := &Files{cert: cert, key: key, ca: ca, gateway: gateway, log: log,
		refusals: rate.Sometimes{Interval: logInterval}}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f, f.read()
}

// read reads the files and, if their content has changed, replaces the state.
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

// isGateway refuses a client whose certificate lacks the gateway's name, because the services have
// certificates of the same authority. The certificate must have the name itself; a wildcard does
// not count.
func (f *Files) isGateway(c tls.ConnectionState) error {
	cert := c.PeerCertificates[0] // there is one, because the server requires it
	if slices.ContainsFunc(cert.DNSNames, func(name string) bool { return ascii.EqualFold(name, f.gateway) }) ||
		slices.ContainsFunc(cert.URIs, func(uri *url.URL) bool { return uri.String() == f.gateway }) {
		return nil
	}
	f.refusals.Do(func() {
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
// (AEAD) and have forward secrecy, as every suite of TLS 1.3 does. Only clients from before 2014
// lack them.
func authenticated() []uint16 {
	return []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
}

// now returns the state of the files, which it checks once a second.
func (f *Files) now() *state {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.looked) < checkInterval {
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

// Listener returns ln with TLS 1.2 or later. When the files have authorities, a client must show a
// certificate that one of them has signed.
func (f *Files) Listener(ln net.Listener) net.Listener {
	return &listener{Listener: ln, config: &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return f.now().server, nil
		},
	}}
}

// Client returns a TLS client on conn, an open connection. The server must show a certificate for
// name, a host name or an address, that one of the authorities has signed. The client shows its own
// certificate to a server that requests one.
func (f *Files) Client(conn net.Conn, name string) *tls.Conn {
	s := f.now()
	return tls.Client(conn, &tls.Config{
		MinVersion: tls.VersionTLS12, CipherSuites: authenticated(), NextProtos: []string{"http/1.1"},
		ServerName: name, RootCAs: s.authorities, Certificates: []tls.Certificate{s.cert},
	})
}

// listener is a TLS listener like the one of tls.NewListener, with SetDeadline in addition: a
// server that stops needs it to accept the connections that wait already.
type listener struct {
	net.Listener
	config *tls.Config
}

// Accept returns a connection whose handshake happens in its first read or write, under the
// deadline of that call.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tls.Server(c, l.config), nil
}

// SetDeadline bounds Accept, if the listener underneath supports it.
func (l *listener) SetDeadline(t time.Time) error {
	timed, ok := l.Listener.(interface{ SetDeadline(time.Time) error })
	if !ok {
		return errors.ErrUnsupported
	}
	return timed.SetDeadline(t)
}

// Public is the TLS settings of a public port.
type Public struct {
	Cert string `env:"TLS_CERT_FILE" doc:"Certificate chain (PEM) of the public port, read again when it changes; without it the port speaks plain HTTP."`
	Key  string `env:"TLS_KEY_FILE" doc:"Its private key (PEM)."`
}

// Validate checks the rules that tags cannot express.
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

// Internal is the settings of mutual TLS between the gateway and the services.
type Internal struct {
	Cert    string `env:"INTERNAL_TLS_CERT_FILE" doc:"Certificate (PEM) for mutual TLS between gateway and services, read again when it changes; without it plain HTTP."`
	Key     string `env:"INTERNAL_TLS_KEY_FILE" doc:"Its private key (PEM)."`
	CA      string `env:"INTERNAL_TLS_CA_FILE" doc:"Certificates (PEM) of the authorities that the other side's certificate must come from; keep them for this purpose only."`
	Gateway string `env:"INTERNAL_TLS_GATEWAY_NAME" envDefault:"gateway" doc:"DNS name or URI in the gateway's certificate; a service takes connections from it only."`
}

// Validate checks the rules that tags cannot express.
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
