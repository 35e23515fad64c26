package gateway

import (
	"strings"
	"testing"

	"github.com/realmgate/realmgate/gateway/internal/edge"
	"github.com/realmgate/realmgate/pkg/config"
)

func preflight(path, origin string) ask {
	return ask{method: "OPTIONS", path: path,
		header: map[string]string{"Origin": origin, "Access-Control-Request-Method": "PUT"}}
}

// allows reports whether a browser that got this answer to its preflight may send the header.
func (r reply) allows(header string) bool {
	for name := range strings.SplitSeq(r.header.Get("Access-Control-Allow-Headers"), ",") {
		if strings.EqualFold(strings.TrimSpace(name), header) {
			return true
		}
	}
	return false
}

func TestScriptsMaySendTheHeadersOfTheSettings(t *testing.T) {
	t.Parallel()
	const app = "https://app.example"
	d := startGateway(t, func(c *Config) { c.Edge.CORSOrigins = edge.TextList{app} })
	r := d.do(preflight("/api/v1/vault/keys/k", app))
	for _, name := range []string{
		"authorization", "content-type", "accept", "x-request-id", "traceparent", "tracestate", "baggage", "b3",
		"x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags", "sentry-trace",
	} {
		if !r.allows(name) {
			t.Errorf("%s may not be sent: %q", name, r.header.Get("Access-Control-Allow-Headers"))
		}
	}
	if r.allows("x-other") {
		t.Error("any header may be sent")
	}
	own := startGateway(t, func(c *Config) {
		c.Edge.CORSOrigins, c.Edge.CORSHeaders = edge.TextList{app}, edge.TextList{"X-Other", "uber-trace-id"}
	})
	r = own.do(preflight("/api/v1/vault/keys/k", app))
	if !r.allows("x-other") || !r.allows("uber-trace-id") || !r.allows("authorization") || r.allows("traceparent") {
		t.Errorf("with headers of one's own: %q", r.header.Get("Access-Control-Allow-Headers"))
	}
}

// TestPreflightsOfUnknownPathsAreAnswered, because a browser hides the 404 of a request whose
// preflight fails.
func TestPreflightsOfUnknownPathsAreAnswered(t *testing.T) {
	t.Parallel()
	const app = "https://app.example"
	d := startGateway(t, func(c *Config) { c.Edge.CORSOrigins = edge.TextList{app} })
	for _, path := range []string{"/nowhere", "/api/v1/vault/keys/", "/api/v2/users", "/api/v1/vault/keys/a%2Fb",
		"/api/v1//users", "/api/v1/vault/keys"} {
		if r := d.do(preflight(path, app)); r.status != 204 || r.header.Get("Access-Control-Allow-Origin") != app ||
			!strings.Contains(r.header.Get("Access-Control-Allow-Methods"), "PUT") {
			t.Errorf("%s: %d %v", path, r.status, r.header)
		}
		if r := d.do(ask{method: "PUT", path: path, header: map[string]string{"Origin": app}}); r.status < 400 ||
			r.header.Get("Access-Control-Allow-Origin") != app {
			t.Errorf("PUT %s: %d %v", path, r.status, r.header)
		}
	}
	for name, a := range map[string]ask{
		"another origin":           preflight("/nowhere", "https://evil.example"),
		"OPTIONS of no preflight":  {method: "OPTIONS", path: "/nowhere", header: map[string]string{"Origin": app}},
		"OPTIONS without a script": {method: "OPTIONS", path: "/nowhere"},
	} {
		if r := d.do(a); r.status != 404 || r.header.Get("Access-Control-Allow-Methods") != "" {
			t.Errorf("%s: %d %v", name, r.status, r.header)
		}
	}
}

func TestAnOriginMayHaveAnySubdomain(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) {
		c.Edge.CORSOrigins = edge.TextList{"https://*.example.com", "http://*.localhost:3000", "https://app.other"}
	})
	for origin, want := range map[string]bool{
		"https://app.example.com":            true,
		"https://a.b-c.example.com":          true,
		"http://x.localhost:3000":            true,
		"https://app.other":                  true,
		"https://example.com":                false,
		"https://.example.com":               false,
		"https://a..example.com":             false,
		"https://-.example.com":              false,
		"https://evil-example.com":           false,
		"https://evilexample.com":            false,
		"https://app.example.com.evil":       false,
		"https://app.example.com:8443":       false,
		"http://app.example.com":             false,
		"https://evil/app.example.com":       false,
		"https://evil#.example.com":          false,
		"https://evil:1@app.example.com":     false,
		"https://evil.com:80.example.com":    false,
		"https://App.example.com":            false,
		"http://x.localhost:30000":           false,
		"https://sub.app.other":              false,
		"null":                               false,
		"https://a.example.com, https://b.c": false,
	} {
		r := d.do(ask{method: "GET", path: "/api/v1/auth/config", header: map[string]string{"Origin": origin}})
		got := r.header.Get("Access-Control-Allow-Origin")
		if want && got != origin || !want && got != "" {
			t.Errorf("%s: allowed %q, want %v", origin, got, want)
		}
		if r.header.Get("Vary") != "Origin" {
			t.Errorf("%s: Vary is %q", origin, r.header.Get("Vary"))
		}
	}
}

func TestOriginsAndHeadersThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	d.settings()
	for setting, set := range map[string]func(c *Config, value string){
		"CORS_ORIGINS": func(c *Config, value string) { c.Edge.CORSOrigins = edge.TextList{value} },
		"CORS_HEADERS": func(c *Config, value string) { c.Edge.CORSHeaders = edge.TextList{value} },
	} {
		for value, fine := range map[string]bool{
			"https://*.example.com": setting == "CORS_ORIGINS", "https://*.example.com:8443": setting == "CORS_ORIGINS",
			"*":         true,
			"https://*": false, "https://*.": false, "https://a*.example.com": false, "https://a.*.com": false,
			"https://*.*.com": false, "*.example.com": setting == "CORS_HEADERS",
			"https://*.example.com/": false, "https://*.example.com:443": false, "https://*.Example.com": false,
			"X-A": setting == "CORS_HEADERS", "X A": false, "X:A": false, "é": false,
		} {
			cfg := d.cfg
			set(&cfg, value)
			err := cfg.Edge.Validate()
			if fine != (err == nil) || err != nil && !strings.HasPrefix(err.Error(), setting) {
				t.Errorf("%s=%s: %v", setting, value, err)
			}
		}
	}
	if err := config.Defaults(&Config{}); err != nil && strings.Contains(err.Error(), "CORS") {
		t.Errorf("the default: %v", err)
	}
}
