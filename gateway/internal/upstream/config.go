package upstream

import (
	"fmt"
	"net/url"
	"time"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/tlsfiles"
)

// Config says where the services are and how requests to them are limited.
type Config struct {
	Users        string        `env:"USERS_URL" envDefault:"http://127.0.0.1:8081" doc:"users-svc: http://host:port, or https://host:port with INTERNAL_TLS_*; every address of the name is used."`
	Vault        string        `env:"VAULT_URL" envDefault:"http://127.0.0.1:8082" doc:"vault-svc, in the same form."`
	Activity     string        `env:"ACTIVITY_URL" envDefault:"http://127.0.0.1:8083" doc:"activity-svc, in the same form."`
	UsersKeys    config.Secret `env:"USERS_INTERNAL_KEYS" doc:"Required: comma-separated keys that only the gateway and users-svc have, at least 32 characters; the first signs."`
	VaultKeys    config.Secret `env:"VAULT_INTERNAL_KEYS" doc:"The same for vault-svc."`
	ActivityKeys config.Secret `env:"ACTIVITY_INTERNAL_KEYS" doc:"The same for activity-svc."`
	ResolveEvery time.Duration `env:"UPSTREAM_RESOLVE_EVERY" envDefault:"5s" doc:"How often the names of the services are looked up again."`
	Timeout      time.Duration `env:"UPSTREAM_TIMEOUT" envDefault:"30s" doc:"How long a service may take to answer; then 503."`
	TLS          tlsfiles.Internal
	MaxInFlight  int `env:"UPSTREAM_MAX_IN_FLIGHT" envDefault:"256" doc:"Requests in flight to one address of a service, without those of public routes; more of them queue."`
	MaxConns     int `env:"UPSTREAM_MAX_CONNS" envDefault:"512" doc:"Connections to one address of a service; half of them may be occupied by answers above 256 KB."`
	// QueueWait is how long a request may queue, or wait for a connection, before it is answered
	// 503.
	QueueWait time.Duration `removed:"UPSTREAM_QUEUE_WAIT" envDefault:"5s"`
}

// Validate checks what tags cannot say.
func (c Config) Validate() error {
	var p config.Problems
	for _, s := range []struct{ name, url string }{{"USERS_URL", c.Users}, {"VAULT_URL", c.Vault},
		{"ACTIVITY_URL", c.Activity}} {
		_, _, err := hostPort(s.url, c.TLS.Cert != "")
		p.Must(err == nil, "%s: %w", s.name, err)
	}
	p.Must(c.ResolveEvery >= 100*time.Millisecond, "UPSTREAM_RESOLVE_EVERY must be at least 100ms")
	p.Must(c.Timeout >= time.Second, "UPSTREAM_TIMEOUT must be at least 1s")
	p.Must(c.MaxInFlight >= 1, "UPSTREAM_MAX_IN_FLIGHT must be at least 1")
	p.Must(c.MaxConns >= 1, "UPSTREAM_MAX_CONNS must be at least 1")
	return p.Err()
}

// hostPort reads the URL of a service: https when the processes have certificates for each other,
// http otherwise.
func hostPort(service string, secure bool) (host, port string, err error) {
	scheme := "http"
	if secure {
		scheme = "https"
	}
	u, err := url.Parse(service)
	if err != nil || u.Scheme != scheme || u.Hostname() == "" || u.Port() == "" || (u.Path != "" && u.Path != "/") ||
		u.User != nil || u.RawQuery != "" {
		return "", "", fmt.Errorf("write %s://host:port (https with INTERNAL_TLS_*, http without)", scheme)
	}
	return u.Hostname(), u.Port(), nil
}
