package gateway

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/realmgate/realmgate/gateway/internal/identity"
	"github.com/realmgate/realmgate/gateway/internal/journal"
	"github.com/realmgate/realmgate/gateway/internal/upstream"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/netaddr"
	"github.com/realmgate/realmgate/pkg/ratelimit"
	"github.com/realmgate/realmgate/pkg/redisdb"
	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/pkg/tlsfiles"
)

// Config is every setting of the gateway.
type Config struct {
	Service     service.Config
	Addr        string `env:"GATEWAY_ADDR" envDefault:"127.0.0.1:8080" doc:"Where clients connect."`
	TLS         tlsfiles.Public
	ReadTimeout time.Duration `env:"READ_TIMEOUT" envDefault:"60s" doc:"How long a client may take to send a request, and to take its answer."`
	IdleTimeout time.Duration `env:"IDLE_TIMEOUT" envDefault:"75s" doc:"How long a client's connection may be idle; longer than the load balancer keeps it, which is mostly 60s."`
	Upstreams   upstream.Config
	SharedKeys  config.Secret `env:"INTERNAL_KEYS" doc:"Deprecated: one list of keys for all services; as long as it is set, it signs."`
	Identity    identity.Config
	Bus         bus.Config
	Redis       redisdb.Config
	Edge        EdgeConfig
	Limits      LimitConfig
	Journal     journal.Config
}

// EdgeConfig says which requests of clients are accepted.
type EdgeConfig struct {
	TrustedProxies TextList `env:"TRUSTED_PROXIES" doc:"Comma-separated addresses and CIDR blocks whose X-Forwarded-For and X-Forwarded-Proto are believed."`
	CORSOrigins    TextList `env:"CORS_ORIGINS" doc:"Comma-separated origins that browsers may call from; https://*.example.com is all subdomains, * any origin."`
	CORSHeaders    TextList `env:"CORS_HEADERS" envDefault:"traceparent,tracestate,baggage,b3,x-b3-traceid,x-b3-spanid,x-b3-parentspanid,x-b3-sampled,x-b3-flags,sentry-trace,uber-trace-id,x-cloud-trace-context,x-amzn-trace-id" doc:"Comma-separated headers that their scripts may send beside Authorization, Content-Type, Accept and X-Request-ID; those of traces by default, * any."`
	VaultQuotaMB   int      `env:"VAULT_QUOTA_MB" envDefault:"50" doc:"What vault-svc lets a user store in MB, unless an admin gave the user a quota of their own: so large a value must pass."`
	VaultMaxBodyMB int      `env:"VAULT_MAX_BODY_MB" envDefault:"0" doc:"Largest body of a vault write in MB. 0: six times the user's quota (JSON may spell one byte as six) plus 2; at least 110, at most 1000 and BODY_MEMORY_MB."`
	BodyMemoryMB   int      `env:"BODY_MEMORY_MB" envDefault:"512" doc:"MB that users' bodies of more than 64 KB may take in memory together. A quarter is for those of up to a 64th of it, of which one user may have a 64th; of the larger ones a user may send one at a time. More of them wait."`
	// BodyWait bounds that waiting.
	BodyWait time.Duration `env:"BODY_WAIT" envDefault:"20s" doc:"How long a large body may wait for memory; after it 503."`
}

// LimitConfig is the gateway's part of the contract's table of limits.
type LimitConfig struct {
	User       ratelimit.Rate `env:"RATE_LIMIT_USER" envDefault:"6000/1m" doc:"All requests of one user."`
	Address    ratelimit.Rate `env:"RATE_LIMIT_ADDRESS" envDefault:"600/1m" doc:"All requests without a user from one address."`
	Signup     ratelimit.Rate `env:"RATE_LIMIT_SIGNUP" envDefault:"5/1h" doc:"Sign-ups from one address."`
	Verify     ratelimit.Rate `env:"RATE_LIMIT_VERIFY" envDefault:"10/1h" doc:"E-mail verifications and password resets from one address."`
	Resend     ratelimit.Rate `env:"RATE_LIMIT_RESEND" envDefault:"3/1h" doc:"Requests for a verification or reset mail from one address."`
	RetrySetup ratelimit.Rate `env:"RATE_LIMIT_RETRY_SETUP" envDefault:"10/1m" doc:"retry-setup calls of one user."`
}

// TextList is a comma-separated list.
type TextList []string

// UnmarshalText splits at commas and drops what is blank.
func (l *TextList) UnmarshalText(b []byte) error {
	*l = nil
	for s := range strings.SplitSeq(string(b), ",") {
		if s = strings.TrimSpace(s); s != "" {
			*l = append(*l, s)
		}
	}
	return nil
}

// Validate checks what tags cannot say.
func (c Config) Validate() error {
	var p config.Problems
	p.Address("GATEWAY_ADDR", c.Addr)
	_, err := c.audiences(time.Now)
	p.Must(err == nil, "%w", err)
	p.Must(c.ReadTimeout > 0, "READ_TIMEOUT must be above 0s")
	p.Must(c.IdleTimeout > 0, "IDLE_TIMEOUT must be above 0s")
	edge := c.Edge
	_, err = netaddr.ParsePrefixes(edge.TrustedProxies)
	p.Must(err == nil, "TRUSTED_PROXIES: %w", err)
	for _, o := range edge.CORSOrigins {
		p.Must(o == "*" || isOrigin(strings.Replace(o, "://"+anySubdomain, "://any.", 1)) &&
			!strings.HasSuffix(o, anySubdomain),
			"CORS_ORIGINS: no browser sends the origin %q: write *, or scheme://host or scheme://host:port in lower case, "+
				"with nothing after it and without the scheme's own port; the host may begin with *.", o)
	}
	for _, name := range edge.CORSHeaders {
		p.Must(strings.Trim(name, tokenCharacters) == "", "CORS_HEADERS: %q is not the name of a header", name)
	}
	p.Must(edge.VaultQuotaMB >= 1 && edge.VaultQuotaMB <= 1<<20, "VAULT_QUOTA_MB must be from 1 to 1048576")
	p.Must(edge.VaultMaxBodyMB >= 0, "VAULT_MAX_BODY_MB must not be negative")
	p.Must(edge.BodyMemoryMB >= max(edge.VaultMaxBodyMB, 1),
		"BODY_MEMORY_MB must be at least 1, and at least VAULT_MAX_BODY_MB")
	p.Must(edge.BodyWait > 0, "BODY_WAIT must be above 0s")
	return p.Err()
}

// audiences returns the services that internal identities are signed for, in the order of their
// targets. A key that two services have is an error, because either could sign for the other with
// it; those of the deprecated common list are accepted for one release.
func (c Config) audiences(now func() time.Time) ([]identity.Audience, error) {
	shared := c.SharedKeys.Reveal()
	if shared != "" {
		if _, err := auth.NewInternalKeys(shared, now); err != nil {
			return nil, fmt.Errorf("%s: %w", auth.SharedKeysSetting, err)
		}
	}
	type ownKeys struct {
		setting string
		keys    *auth.InternalKeys
	}
	var others []ownKeys
	var problems config.Problems
	var audiences []identity.Audience
	for _, s := range []struct {
		name, setting string
		list          config.Secret
	}{
		{"users-svc", "USERS_INTERNAL_KEYS", c.Upstreams.UsersKeys},
		{"vault-svc", "VAULT_INTERNAL_KEYS", c.Upstreams.VaultKeys},
		{"activity-svc", "ACTIVITY_INTERNAL_KEYS", c.Upstreams.ActivityKeys},
	} {
		keys, err := auth.ReadInternalKeys(s.setting, s.list.Reveal(), shared, now)
		problems.Must(err == nil, "%w", err)
		audiences = append(audiences, identity.Audience{Name: s.name, Keys: keys})
		if err != nil || s.list == "" {
			continue
		}
		own, _ := auth.NewInternalKeys(s.list.Reveal(), now)
		for _, other := range others {
			problems.Must(!own.Shares(other.keys), "%s has a key of %s: each service needs its own", s.setting, other.setting)
		}
		others = append(others, ownKeys{s.setting, own})
	}
	return audiences, problems.Err()
}

// isOrigin reports whether browsers may send s as the origin of a page (Fetch standard): they leave
// out what the scheme implies.
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

// tokenCharacters are those of a header's name (RFC 9110, section 5.6.2).
const tokenCharacters = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
