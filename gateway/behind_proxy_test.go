package gateway

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/gateway/internal/edge"
	"github.com/realmgate/realmgate/pkg/testkit"
	"github.com/realmgate/realmgate/pkg/tlsfiles"
)

// keptConnection is a client's connection that it uses again and again.
type keptConnection struct {
	t *testing.T
	net.Conn
	answers *bufio.Reader
}

func (d *testGateway) keep(t *testing.T) *keptConnection {
	t.Helper()
	conn, err := net.Dial("tcp", d.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return &keptConnection{t, conn, bufio.NewReader(conn)}
}

// ask sends a request and returns the status of its answer.
func (k *keptConnection) ask(request string) int {
	k.t.Helper()
	if _, err := io.WriteString(k, request); err != nil {
		k.t.Fatal(err)
	}
	res, err := http.ReadResponse(k.answers, nil)
	if err != nil {
		k.t.Fatalf("no answer: %v", err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

const askConfig = "GET /api/v1/auth/config HTTP/1.1\r\nHost: h\r\n\r\n"

func TestAConnectionIsKeptForAsLongAsItMayBeIdle(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) { c.ReadTimeout, c.IdleTimeout = 100*time.Millisecond, time.Minute })
	kept := d.keep(t)
	for range 3 {
		if status := kept.ask(askConfig); status != 200 {
			t.Fatalf("got %d", status)
		}
		time.Sleep(300 * time.Millisecond) // longer than a request may take to arrive
	}
	brief := startGateway(t, func(c *Config) { c.IdleTimeout = 100 * time.Millisecond })
	kept = brief.keep(t)
	if status := kept.ask(askConfig); status != 200 {
		t.Fatalf("got %d", status)
	}
	if _, err := kept.answers.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("an idle connection ends with %v, want its end", err)
	}
}

func TestAConnectionOutlivesThatOfALoadBalancer(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	d.settings()
	if d.cfg.IdleTimeout != 75*time.Second {
		t.Errorf("IDLE_TIMEOUT is %v, want 75s: load balancers keep connections for 60s", d.cfg.IdleTimeout)
	}
}

func TestAnUntrustedForwardedAddressIsWarnedOfOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		trusted edge.TextList
		header  string
		want    int
	}{
		{"nobody is trusted", nil, "1.1.1.1", 1},
		{"the peer is not trusted", edge.TextList{"192.0.2.0/24"}, "1.1.1.1", 1},
		{"the peer is trusted", edge.TextList{"127.0.0.1"}, "1.1.1.1", 0},
		{"no header", nil, "", 0},
	} {
		var log testkit.Buffer
		d := newTestGateway(t)
		d.log = slog.New(slog.NewTextHandler(&log, nil))
		d.settings(func(cfg *Config) { cfg.Edge.TrustedProxies = c.trusted })
		d.start()
		for range 3 {
			a := ask{method: "GET", path: "/api/v1/auth/config"}
			if c.header != "" {
				a.header = map[string]string{"X-Forwarded-For": c.header}
			}
			d.do(a)
		}
		if got := strings.Count(log.String(), "TRUSTED_PROXIES"); got != c.want {
			t.Errorf("%s: %d warnings, want %d:\n%s", c.name, got, c.want, log.String())
		}
		if c.want > 0 && !strings.Contains(log.String(), "peer=127.0.0.1") {
			t.Errorf("%s: the warning does not name the peer:\n%s", c.name, log.String())
		}
	}
}

func TestAbsoluteTargetsNameTheHostOfTheRequest(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	ada := d.users.signIn(t)
	for _, c := range []struct{ target, host, want, forwarded string }{
		{"http://h/api/v1/vault/keys", "h", "200", "/api/v1/vault/keys"},
		{"HTTP://h/api/v1/vault/keys?realm_id=507f1f77bcf86cd799439011", "h", "200",
			"/api/v1/vault/keys?realm_id=507f1f77bcf86cd799439011"},
		{"https://H.Example:8443/api/v1/vault/keys", "h.example:8443", "200", "/api/v1/vault/keys"},
		{"http://h:80/api/v1/vault/keys", "h", "200", "/api/v1/vault/keys"},
		{"https://h/api/v1/vault/keys", "h:443", "200", "/api/v1/vault/keys"},
		{"http://[::1]:8080/api/v1/vault/keys", "[::1]:8080", "200", "/api/v1/vault/keys"},
		{"http://h", "h", "302", ""},
		{"http://h?a=1", "h", "302", ""},
		{"http://h/api/v1/vault/../vault/keys", "h", "400", ""},
		{"http://evil/api/v1/vault/keys", "h", "400", ""},
		{"http://h:8080/api/v1/vault/keys", "h", "400", ""},
		{"http://h:443/api/v1/vault/keys", "h", "400", ""},
		{"http://ada@h/api/v1/vault/keys", "h", "400", ""},
		{"http:///api/v1/vault/keys", "h", "400", ""},
		{"ftp://h/api/v1/vault/keys", "h", "400", ""},
		{"http:/api/v1/vault/keys", "h", "400", ""},
		{"h/api/v1/vault/keys", "h", "400", ""},
		{"http://h/api/v1/vault/keys#x", "h", "400", ""},
	} {
		raw := d.wire(fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nAuthorization: Bearer %s\r\n\r\n",
			c.target, c.host, ada.token))
		if !strings.HasPrefix(raw, "HTTP/1.1 "+c.want) {
			t.Errorf("%s with Host %s: %.60q, want %s", c.target, c.host, raw, c.want)
		}
		got := d.vault.got()
		if c.forwarded == "" && len(got) > 0 || c.forwarded != "" && (len(got) != 1 || got[0].target != c.forwarded) {
			t.Errorf("%s: the service got %v, want %q", c.target, got, c.forwarded)
		}
	}
	realm := strings.Repeat("ab", 12)
	raw := d.wire(fmt.Sprintf("GET http://%s.h/api/v1/vault/keys HTTP/1.1\r\nHost: %s.h\r\nConnection: close\r\nAuthorization: Bearer %s\r\n\r\n", realm, realm, ada.token))
	if got := d.vault.got(); len(got) != 1 || got[0].identity.Realm != realm {
		t.Errorf("on a realm's host: %.60q, the service got %v", raw, got)
	}
	raw = d.wire("GET http://h/api/v1/auth/config HTTP/1.0\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(raw, "HTTP/1.1 400") {
		t.Errorf("without a Host: %.60q, want 400", raw)
	}
}

func TestBrowsersAreToldToStayWithTLS(t *testing.T) {
	t.Parallel()
	a := testkit.NewAuthority(t)
	cert, key := a.Issue("gateway", 1)
	secure := startGateway(t, func(c *Config) { c.TLS = tlsfiles.Public{Cert: cert, Key: key} })
	conn, err := tls.Dial("tcp", secure.addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, request := range []string{"GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n", askConfig, "GET / HTTP/9\r\n\r\n"} {
		fmt.Fprint(conn, request)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		if got := res.Header.Get("Strict-Transport-Security"); got != "max-age=31536000" {
			t.Errorf("%q over TLS: %q", request, got)
		}
	}
	plain := startGateway(t, func(c *Config) { c.Edge.TrustedProxies = edge.TextList{"127.0.0.1"} })
	stranger := startGateway(t)
	for _, c := range []struct {
		gateway *testGateway
		proto   string
		want    bool
	}{{plain, "https", true}, {plain, "http", false}, {plain, "", false}, {plain, "https, http", false},
		{stranger, "https", false}} {
		r := c.gateway.do(ask{method: "GET", path: "/api/v1/auth/config",
			header: map[string]string{"X-Forwarded-Proto": c.proto}})
		if got := r.header.Get("Strict-Transport-Security"); (got != "") != c.want {
			t.Errorf("X-Forwarded-Proto %q, trusted: %v: %q", c.proto, c.gateway == plain, got)
		}
	}
}

var links = regexp.MustCompile(`(?:href|src)="([^"#]+)`)

// TestTheDocumentsWorkBelowAPath: behind a proxy that takes a prefix off, everything that the pages
// refer to is found below the prefix.
func TestTheDocumentsWorkBelowAPath(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	target, err := url.Parse("http://" + d.addr)
	if err != nil {
		t.Fatal(err)
	}
	outside := http.NewServeMux()
	outside.Handle("/realm/gate/", http.StripPrefix("/realm/gate", httputil.NewSingleHostReverseProxy(target)))
	proxy := httptest.NewServer(outside)
	t.Cleanup(proxy.Close)
	seen := map[string]bool{}
	for next := []string{proxy.URL + "/realm/gate/"}; len(next) > 0; next = next[1:] {
		if seen[next[0]] {
			continue
		}
		seen[next[0]] = true
		res, err := http.Get(next[0])
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != 200 {
			t.Errorf("%s: %d %v", next[0], res.StatusCode, err)
		}
		if !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
			continue
		}
		for _, m := range links.FindAllStringSubmatch(string(body), -1) {
			to, err := res.Request.URL.Parse(m[1])
			if err != nil {
				t.Fatal(err)
			}
			next = append(next, to.String())
		}
	}
	for _, path := range []string{"docs", "docs/style.css", "docs/app.js", "openapi.json", "openapi.yaml",
		"docs/errors/NOT_FOUND"} {
		if !seen[proxy.URL+"/realm/gate/"+path] {
			t.Errorf("%s was not found", path)
		}
	}
}
