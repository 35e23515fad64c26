package bus

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// TestMutualTLSWithNATS checks that a client connects only if it trusts the server's authority and
// shows a certificate that this authority has signed.
func TestMutualTLSWithNATS(t *testing.T) {
	t.Parallel()
	a, stranger := testkit.NewAuthority(t), testkit.NewAuthority(t)
	cert, key := a.Issue("nats", 1)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.Cert)
	broker := testkit.StartNATS(t, func(o *server.Options) {
		o.TLS, o.TLSTimeout = true, 5
		o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool,
			ClientAuth: tls.RequireAndVerifyClientCert}
	})
	ours, oursKey := a.Issue("gateway", 2)
	theirs, theirsKey := stranger.Issue("gateway", 2)
	for name, c := range map[string]struct {
		files  FilesConfig
		passes bool
	}{
		"with both":              {FilesConfig{CA: a.File, Cert: ours, Key: oursKey}, true},
		"without a certificate":  {FilesConfig{CA: a.File}, false},
		"with a stranger's":      {FilesConfig{CA: a.File, Cert: theirs, Key: theirsKey}, false},
		"trusting somebody else": {FilesConfig{CA: stranger.File, Cert: ours, Key: oursKey}, false},
		"without TLS":            {FilesConfig{}, false},
	} {
		conn, err := Connect(Config{URL: config.Secret(broker.URL()), Files: c.files}, "test", testkit.Log(t))
		if err != nil {
			t.Fatal(err)
		}
		wait := 500 * time.Millisecond
		if c.passes {
			wait = 20 * time.Second
		}
		for end := time.Now().Add(wait); conn.Ready(t.Context()) != nil && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
		if err := conn.Ready(t.Context()); (err == nil) != c.passes {
			t.Errorf("%s: %v, passes=%v", name, err, c.passes)
		}
		conn.Close()
	}
	for says, f := range map[string]FilesConfig{
		"NATS_TLS_CERT_FILE and NATS_TLS_KEY_FILE go together": {Cert: ours}, "NATS_CREDS_FILE: ": {Creds: cert + "x"},
		"NATS_TLS_CA_FILE": {CA: key},
	} {
		if err := f.Validate(); err == nil || !strings.HasPrefix(err.Error(), says) {
			t.Errorf("got %v, want %s", err, says)
		}
	}
}
