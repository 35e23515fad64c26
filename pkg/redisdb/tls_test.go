package redisdb

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// TestMutualTLSWithRedis checks that a client connects only if it trusts the server's authority and
// shows a certificate that this authority has signed.
func TestMutualTLSWithRedis(t *testing.T) {
	t.Parallel()
	a, stranger := testkit.NewAuthority(t), testkit.NewAuthority(t)
	cert, key := a.Issue("localhost", 1)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.Cert)
	server := miniredis.NewMiniRedis()
	if err := server.StartTLS(&tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool,
		ClientAuth: tls.RequireAndVerifyClientCert}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	ours, oursKey := a.Issue("gateway", 2)
	theirs, theirsKey := stranger.Issue("gateway", 2)
	addr := "localhost:" + server.Port()
	for name, c := range map[string]struct {
		url    string
		files  TLSConfig
		passes bool
	}{
		"with both":            {"redis://" + addr, TLSConfig{CA: a.File, Cert: ours, Key: oursKey}, true},
		"with both and rediss": {"rediss://" + addr, TLSConfig{CA: a.File, Cert: ours, Key: oursKey}, true},
		"a cluster": {"redis://" + addr + "?addr=" + addr, TLSConfig{CA: a.File, Cert: ours, Key: oursKey},
			true},
		"without a certificate":    {"redis://" + addr, TLSConfig{CA: a.File}, false},
		"with a stranger's":        {"redis://" + addr, TLSConfig{CA: a.File, Cert: theirs, Key: theirsKey}, false},
		"trusting a stranger":      {"redis://" + addr, TLSConfig{CA: stranger.File, Cert: ours, Key: oursKey}, false},
		"rediss without the files": {"rediss://" + addr, TLSConfig{}, false},
		"without TLS":              {"redis://" + addr, TLSConfig{}, false},
	} {
		rdb, err := Open(Config{URL: config.Secret(c.url), TLS: c.files})
		if err != nil {
			t.Fatal(err)
		}
		for range 50 { // a slow machine may need more than the 100 ms of one attempt
			if err = rdb.Set(t.Context(), "k", "v", 0).Err(); err == nil || !c.passes {
				break
			}
		}
		if (err == nil) != c.passes {
			t.Errorf("%s: %v, passes=%v", name, err, c.passes)
		}
		_ = rdb.Close()
	}
	for says, f := range map[string]TLSConfig{
		"REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE go together": {Cert: ours},
		"REDIS_TLS_CA_FILE: no certificate":                      {CA: key},
		"REDIS_TLS_CA_FILE: open":                                {CA: key + "x"},
		"REDIS_TLS_CERT_FILE, REDIS_TLS_KEY_FILE: ":              {Cert: ours, Key: theirsKey},
	} {
		if err := (Config{URL: "redis://h:6379", TLS: f}).Validate(); err == nil ||
			!strings.HasPrefix(err.Error(), says) {
			t.Errorf("got %v, want %s", err, says)
		}
	}
}
