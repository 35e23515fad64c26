package gateway

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/realmgate/realmgate/gateway/internal/edge"
	"github.com/realmgate/realmgate/gateway/internal/identity"
	"github.com/realmgate/realmgate/gateway/internal/journal"
	"github.com/realmgate/realmgate/gateway/internal/streams"
	"github.com/realmgate/realmgate/gateway/internal/upstream"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/config"
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
	Console     string        `env:"CONSOLE" envDefault:"on" doc:"The web console and its cookie routes: on or off."`
	ReadTimeout time.Duration `env:"READ_TIMEOUT" envDefault:"60s" doc:"How long a client may take to send a request, and to take its answer."`
	IdleTimeout time.Duration `env:"IDLE_TIMEOUT" envDefault:"75s" doc:"How long a client's connection may be idle; longer than the load balancer keeps it, which is mostly 60s."`
	Upstreams   upstream.Config
	SharedKeys  config.Secret `env:"INTERNAL_KEYS" doc:"Deprecated: one list of keys for all services; as long as it is set, it signs."`
	Identity    identity.Config
	Bus         bus.Config
	Redis       redisdb.Config
	Edge        edge.Config
	Limits      LimitConfig
	Streams     streams.Config
	Journal     journal.Config
}

// LimitConfig has the rate limits of the contract that the gateway enforces.
type LimitConfig struct {
	User       ratelimit.Rate `env:"RATE_LIMIT_USER" envDefault:"6000/1m" doc:"All requests of one user."`
	Address    ratelimit.Rate `env:"RATE_LIMIT_ADDRESS" envDefault:"600/1m" doc:"All requests without a user from one address."`
	Signup     ratelimit.Rate `env:"RATE_LIMIT_SIGNUP" envDefault:"5/1h" doc:"Sign-ups from one address."`
	Verify     ratelimit.Rate `env:"RATE_LIMIT_VERIFY" envDefault:"10/1h" doc:"E-mail verifications and password resets from one address."`
	Resend     ratelimit.Rate `env:"RATE_LIMIT_RESEND" envDefault:"3/1h" doc:"Requests for a verification or reset mail from one address."`
	RetrySetup ratelimit.Rate `env:"RATE_LIMIT_RETRY_SETUP" envDefault:"10/1m" doc:"retry-setup calls of one user."`
}

// Validate checks what tags cannot say.
func (c Config) Validate() error {
	var p config.Problems
	p.Address("GATEWAY_ADDR", c.Addr)
	_, err := c.audiences(time.Now)
	p.Must(err == nil, "%w", err)
	p.Must(c.Console == "on" || c.Console == "off", "CONSOLE must be on or off")
	p.Must(c.ReadTimeout > 0, "READ_TIMEOUT must be above 0s")
	p.Must(c.IdleTimeout > 0, "IDLE_TIMEOUT must be above 0s")
	return p.Err()
}

// routes returns the routes that exist with these settings.
func (c Config) routes() []routeRow {
	return slices.DeleteFunc(routeTable(), func(row routeRow) bool {
		return strings.HasPrefix(row.path, "/console/") && c.Console != "on"
	})
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
		audiences = append(audiences, identity.Audience{Name: s.name, Keys: keys,
			VaultScopes: s.name == "vault-svc"})
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
