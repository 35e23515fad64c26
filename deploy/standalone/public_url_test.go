package main

import (
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/testkit"
)

var mailedLink = regexp.MustCompile(`(https?://\S+)/verify-email#token=`)

// TestLinksLeadToTheRunningGatewayWithoutPublicURL also wants a warning about the missing setting.
func TestLinksLeadToTheRunningGatewayWithoutPublicURL(t *testing.T) {
	t.Parallel()
	office, email := testkit.SMTP(t), "ada@example.com"
	addr := testkit.FreeAddr(t)
	environ := []string{"GATEWAY_ADDR=" + addr, "SMTP_URL=smtp://" + office.Addr + "?tls=off"}
	r := start(t, environ...)
	r.send(request{method: "POST", path: "/api/v1/auth/signup",
		body: map[string]string{"email": email, "password": userPassword}}).
		want(t, "sign-up", 200, "")
	link := mailedLink.FindStringSubmatch(office.Await(t, email, 1).Body)
	if link == nil || link[1] != "http://"+addr || link[1] != r.url {
		t.Fatalf("link %q, want one that begins with %s", link, r.url)
	}
	r.send(request{method: "GET", path: "/verify-email"}).want(t, "the page behind the link", 200, "")

	for name, c := range map[string]struct {
		environ []string
		cert    string
		url     string
		warns   bool
	}{
		"without PUBLIC_URL":       {environ, "", "http://" + addr, true},
		"without a mail server":    {environ[:1], "", "http://" + addr, false},
		"with PUBLIC_URL":          {append(environ, "PUBLIC_URL=https://a.example/b"), "", "https://a.example/b", false},
		"with TLS, all interfaces": {[]string{"GATEWAY_ADDR=:8443", environ[1]}, "cert.pem", "https://127.0.0.1:8443", true},
	} {
		cfg, err := load(c.environ)
		if err != nil {
			t.Fatal(err)
		}
		cfg.TLS.Cert = c.cert
		var log testkit.Buffer
		got := (&stack{cfg: cfg}).withPublicURL(c.environ, slog.New(slog.NewTextHandler(&log, nil)))
		if !slices.Contains(got, "PUBLIC_URL="+c.url) || strings.Contains(log.String(), "level=WARN") != c.warns {
			t.Errorf("%s: got %q, want %s in it; log %q", name, got, c.url, log.String())
		}
	}
}
