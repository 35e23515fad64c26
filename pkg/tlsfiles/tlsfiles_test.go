package tlsfiles

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/testkit"
)

func opened(t *testing.T, cert, key, ca string) *Files {
	t.Helper()
	f, err := Open(cert, key, ca, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// echo answers every line with itself until the test ends.
func echo(t *testing.T, f *Files) string {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := f.Listener(tcp)
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for lines := bufio.NewScanner(c); lines.Scan(); {
					fmt.Fprintln(c, lines.Text())
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// says sends a line on c and returns an error unless the echo comes back.
func says(c net.Conn, text string) error {
	_ = c.SetDeadline(time.Now().Add(testkit.Patience))
	if _, err := fmt.Fprintln(c, text); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && line != text+"\n" {
		err = errors.New("got " + line)
	}
	return err
}

func connect(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func serial(c *tls.Conn) int64 { return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64() }

func TestANewCertificateIsUsedAndOpenConnectionsStay(t *testing.T) {
	t.Parallel()
	a := testkit.NewAuthority(t)
	cert, key := a.Issue("door", 10)
	server := opened(t, cert, key, "")
	addr := echo(t, server)
	ours, oursKey := a.Issue("client", 2)
	client := opened(t, ours, oursKey, a.File)
	open := client.Client(connect(t, addr), "127.0.0.1")
	if err := says(open, "first"); err != nil || serial(open) != 10 {
		t.Fatalf("got %v", err)
	}
	if v := open.ConnectionState(); v.Version < tls.VersionTLS12 || v.NegotiatedProtocol != "http/1.1" {
		t.Errorf("got TLS %x and protocol %q", v.Version, v.NegotiatedProtocol)
	}
	if err := os.WriteFile(cert, []byte("half a certificate"), 0o600); err != nil { // as while it is being written
		t.Fatal(err)
	}
	time.Sleep(checkInterval + 50*time.Millisecond)
	between := client.Client(connect(t, addr), "127.0.0.1")
	if err := says(between, "between"); err != nil || serial(between) != 10 {
		t.Fatalf("with a broken file: %v", err)
	}
	a.Issue("door", 11)
	time.Sleep(checkInterval + 50*time.Millisecond)
	fresh := client.Client(connect(t, addr), "127.0.0.1")
	if err := says(fresh, "fresh"); err != nil || serial(fresh) != 11 {
		t.Fatalf("after the exchange: %v, serial number %d", err, serial(fresh))
	}
	if err := says(open, "still there"); err != nil {
		t.Errorf("the connection of before: %v", err)
	}
}

func TestOnlyCertificatesOfTheAuthorityPass(t *testing.T) {
	t.Parallel()
	a, stranger := testkit.NewAuthority(t), testkit.NewAuthority(t)
	cert, key := a.Issue("service", 10)
	addr := echo(t, opened(t, cert, key, a.File))
	ours, oursKey := a.Issue("gateway", 11)
	theirs, theirsKey := stranger.Issue("gateway", 11)
	if err := says(opened(t, ours, oursKey, a.File).Client(connect(t, addr), "127.0.0.1"), "hello"); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.Cert)
	pair, err := tls.LoadX509KeyPair(theirs, theirsKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, config := range map[string]*tls.Config{
		"without a certificate": {ServerName: "127.0.0.1", RootCAs: pool},
		"with a stranger's": {ServerName: "127.0.0.1", RootCAs: pool,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }},
		"with an old TLS": {ServerName: "127.0.0.1", RootCAs: pool, MinVersion: tls.VersionTLS10,
			MaxVersion: tls.VersionTLS11},
		"who expects another":    {ServerName: "127.0.0.2", RootCAs: pool},
		"who trusts others only": {ServerName: "127.0.0.1", RootCAs: x509.NewCertPool()},
	} {
		if err := says(tls.Client(connect(t, addr), config), "hello"); err == nil {
			t.Errorf("a client %s was let in", name)
		}
	}
	if err := says(connect(t, addr), "hello"); err == nil {
		t.Error("a client without TLS was let in")
	}
	if err := says(opened(t, theirs, theirsKey, stranger.File).Client(connect(t, addr), "127.0.0.1"),
		"hello"); err == nil {
		t.Error("our client believed a stranger")
	}
}

// TestOnlyTheGatewayPasses checks that a service cannot call another with its own certificate,
// which the same authority has signed.
func TestOnlyTheGatewayPasses(t *testing.T) {
	t.Parallel()
	a := testkit.NewAuthority(t)
	cert, key := a.Issue("vault-svc", 10)
	server, err := Internal{Cert: cert, Key: key, CA: a.File, Gateway: "gateway.realmgate.svc"}.Open(testkit.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	addr := echo(t, server)
	for name, passes := range map[string]bool{
		"gateway.realmgate.svc": true, "Gateway.Realmgate.SVC": true, "gateway": false,
		"users-svc.realmgate.svc": false,
		"*.realmgate.svc":         false,
	} {
		cert, key := a.Issue(name, 11)
		for range 2 { // the second connection could resume the first one's session
			err := says(opened(t, cert, key, a.File).Client(connect(t, addr), "127.0.0.1"), "hello")
			if (err == nil) != passes {
				t.Errorf("a certificate for %s: %v, want passes=%v", name, err, passes)
			}
		}
	}
}

func TestANewAuthorityIsInForceAtOnce(t *testing.T) {
	t.Parallel()
	a, next := testkit.NewAuthority(t), testkit.NewAuthority(t)
	cert, key := a.Issue("service", 10)
	addr := echo(t, opened(t, cert, key, a.File))
	ours, oursKey := a.Issue("gateway", 11)
	client := opened(t, ours, oursKey, a.File)
	if err := says(client.Client(connect(t, addr), "127.0.0.1"), "hello"); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(next.File)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.File, content, 0o600); err != nil {
		t.Fatal(err)
	}
	time.Sleep(checkInterval + 50*time.Millisecond)
	if err := says(client.Client(connect(t, addr), "127.0.0.1"), "hello"); err == nil {
		t.Error("a certificate of the authority that was taken away still passes")
	}
}

func TestSettingsGoTogetherAndErrorsNameThem(t *testing.T) {
	t.Parallel()
	a := testkit.NewAuthority(t)
	cert, key := a.Issue("door", 1)
	_, otherKey := a.Issue("other", 2)
	if err := (Public{Cert: cert}).Validate(); err == nil {
		t.Error("a certificate without a key is fine")
	}
	if err := (Internal{Cert: cert, Key: key}).Validate(); err == nil {
		t.Error("a certificate without an authority is fine")
	}
	if f, err := (Public{}).Open(nil); f != nil || err != nil {
		t.Errorf("without settings: %v %v", f, err)
	}
	for name, c := range map[string]Internal{
		"no file": {Cert: cert + "x", Key: key, CA: a.File}, "another's key": {Cert: cert, Key: otherKey, CA: a.File},
		"no authority": {Cert: cert, Key: key, CA: key},
	} {
		if _, err := c.Open(slog.New(slog.DiscardHandler)); err == nil ||
			!strings.Contains(err.Error(), "INTERNAL_TLS_CERT_FILE") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
