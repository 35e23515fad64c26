package edge

import (
	"net/url"
	"strings"
	"time"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/netaddr"
)

// Config has the settings that decide which requests of clients are accepted.
type Config struct {
	TrustedProxies TextList `env:"TRUSTED_PROXIES" doc:"Comma-separated addresses and CIDR blocks whose X-Forwarded-For and X-Forwarded-Proto are believed."`
	CORSOrigins    TextList `env:"CORS_ORIGINS" doc:"Comma-separated origins that browsers may call from; https://*.example.com is all subdomains, * any origin."`
	CORSHeaders    TextList `env:"CORS_HEADERS" envDefault:"traceparent,tracestate,baggage,b3,x-b3-traceid,x-b3-spanid,x-b3-parentspanid,x-b3-sampled,x-b3-flags,sentry-trace,uber-trace-id,x-cloud-trace-context,x-amzn-trace-id" doc:"Comma-separated headers that scripts of those origins may send besides the usual ones; * is any."`
	VaultQuotaMB   int      `env:"VAULT_QUOTA_MB" envDefault:"50" doc:"Default quota of a user in MB, as in vault-svc; a value of that size must pass."`
	VaultMaxBodyMB int      `env:"VAULT_MAX_BODY_MB" envDefault:"0" doc:"Largest body of a vault write in MB; 0: six times the quota and 2 MB, at least 110 and at most 1000."`
	BodyMemoryMB   int      `env:"BODY_MEMORY_MB" envDefault:"512" doc:"Memory in MB for users' bodies of more than 64 KB; more of them wait."`
	// BodyWait is how long a large body may wait for memory before it is answered 503.
	BodyWait time.Duration `removed:"BODY_WAIT" envDefault:"20s"`
}

// TextList is a comma-separated list.
type TextList []string

// UnmarshalText splits the list at commas and drops blank entries.
func (l *TextList) UnmarshalText(b []byte) error {
	*l = nil
	for s := range strings.SplitSeq(string(b), ",") {
		if s = strings.TrimSpace(s); s != "" {
			*l = append(*l, s)
		}
	}
	return nil
}

// Validate checks the rules that tags cannot express.
func (c Config) Validate() error {
	var p config.Problems
	_, err := netaddr.ParsePrefixes(c.TrustedProxies)
	p.Must(err == nil, "TRUSTED_PROXIES: %w", err)
	for _, o := range c.CORSOrigins {
		p.Must(o == "*" || isOrigin(strings.Replace(o, "://"+anySubdomain, "://any.", 1)) &&
			!strings.HasSuffix(o, anySubdomain),
			"CORS_ORIGINS: no browser sends the origin %q: write *, or scheme://host or scheme://host:port in lower case, "+
				"with nothing after it and without the scheme's own port; the host may begin with *.", o)
	}
	for _, name := range c.CORSHeaders {
		p.Must(strings.Trim(name, tokenCharacters) == "", "CORS_HEADERS: %q is not the name of a header", name)
	}
	p.Must(c.VaultQuotaMB >= 1 && c.VaultQuotaMB <= 1<<20, "VAULT_QUOTA_MB must be from 1 to 1048576")
	p.Must(c.VaultMaxBodyMB >= 0, "VAULT_MAX_BODY_MB must not be negative")
	p.Must(c.BodyMemoryMB >= max(c.VaultMaxBodyMB, 1),
		"BODY_MEMORY_MB must be at least 1, and at least VAULT_MAX_BODY_MB")
	return p.Err()
}

// isOrigin reports whether browsers may send s as the origin of a page (Fetch standard). They omit
// the default port of the scheme.
func isOrigin(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Hostname() == "" || strings.HasSuffix(u.Host, ":") {
		return false
	}
	if u.Scheme == "http" && u.Port() == "80" || u.Scheme == "https" && u.Port() == "443" {
		return false
	}
	return s == u.Scheme+"://"+strings.ToLower(u.Host) && !strings.Contains(s, "*")
}

// tokenCharacters are the characters of a header name (RFC 9110, section 5.6.2).
const tokenCharacters = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
