package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/testkit"
	"github.com/realmgate/realmgate/pkg/tlsfiles"
)

// secured serves what plain serves to clients with a certificate of the authority only.
func secured(t *testing.T, plain http.Handler, a *testkit.Authority) *httptest.Server {
	t.Helper()
	cert, key := a.Issue("service", 100)
	files, err := tlsfiles.Open(cert, key, a.File, testkit.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(plain)
	s.Listener = files.Listener(s.Listener)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func TestGatewayAndServicesKnowEachOtherByCertificates(t *testing.T) {
	t.Parallel()
	a := testkit.NewAuthority(t)
	cert, key := a.Issue("gateway", 7)
	d := &testGateway{t: t, users: startUsers(t), vault: startService(t, "vault-svc"),
		activity: startService(t, "activity-svc"),
		broker:   testkit.StartNATS(t), redis: testkit.Redis(t)}
	vault := secured(t, d.vault, a)
	at := func(s *httptest.Server) string { return strings.Replace(s.URL, "http://", "https://", 1) }
	d.settings(func(c *Config) {
		c.Upstreams.TLS = tlsfiles.Internal{Cert: cert, Key: key, CA: a.File}
		c.Upstreams.Users, c.Upstreams.Vault, c.Upstreams.Activity = at(secured(t, d.users, a)), at(vault),
			at(secured(t, d.activity, a))
	})
	d.start()
	ada := d.users.signIn(t)
	put := ask{method: "PUT", path: "/api/v1/vault/keys/k", bearer: ada.token, body: strings.Repeat("x", 300<<10)}
	for range 5 {
		if r := d.do(put); r.status != 200 {
			t.Fatalf("over mutual TLS: %d %s", r.status, r.raw)
		}
	}
	vault.CloseClientConnections() // kept connections end; requests must not
	for range 5 {
		if r := d.do(put); r.status != 200 {
			t.Fatalf("after the service closed its connections: %d %s", r.status, r.raw)
		}
	}
	if n := d.value("upstream_failures_total"); n != 0 {
		t.Errorf("%v requests failed", n)
	}
	conn, err := net.Dial("tcp", vault.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	pool := x509.NewCertPool()
	pool.AddCert(a.Cert)
	stranger := tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"})
	_, _ = io.WriteString(stranger, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	if n, err := stranger.Read(make([]byte, 1)); err == nil || n > 0 {
		t.Error("the service answered a client without a certificate")
	}
}

func TestThePublicPortSpeaksTLS(t *testing.T) {
	t.Parallel()
	a := testkit.NewAuthority(t)
	cert, key := a.Issue("gateway", 1)
	d := startGateway(t, func(c *Config) { c.TLS = tlsfiles.Public{Cert: cert, Key: key} })
	ada := d.users.signIn(t)
	pool := x509.NewCertPool()
	pool.AddCert(a.Cert)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}},
		Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	serial := func(path, body string) (int64, int) {
		req, _ := http.NewRequest("PUT", "https://"+d.addr+path, strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+ada.token)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		_, _ = io.Copy(io.Discard, res.Body)
		if res.ProtoMajor != 1 || res.TLS.Version < tls.VersionTLS12 {
			t.Errorf("got %s over TLS %x", res.Proto, res.TLS.Version)
		}
		return res.TLS.PeerCertificates[0].SerialNumber.Int64(), res.StatusCode
	}
	const path = "/api/v1/vault/keys/k"
	if n, status := serial(path, "{}"); n != 1 || status != 200 {
		t.Fatalf("got %d from certificate %d", status, n)
	}
	a.Issue("gateway", 2)
	time.Sleep(1100 * time.Millisecond)
	if n, status := serial(path, "{}"); n != 1 || status != 200 {
		t.Errorf("the connection of before: %d from certificate %d", status, n)
	}
	client.CloseIdleConnections()
	if n, status := serial(path, "{}"); n != 2 || status != 200 {
		t.Errorf("a new connection: %d from certificate %d", status, n)
	}
	if _, status := serial("/nowhere", strings.Repeat("x", 1<<20)); status != 404 {
		t.Errorf("a body that is refused half-way: %d", status)
	}
	if got := d.wire("GET / HTTP/1.1\r\nHost: h\r\n\r\n"); strings.Contains(got, "200") {
		t.Errorf("plain HTTP is answered %q", got)
	}
}
