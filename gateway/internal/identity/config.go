package identity

import (
	"time"

	"github.com/realmgate/realmgate/pkg/config"
)

// Config says which access tokens are accepted, and for how long session states are remembered.
type Config struct {
	Issuer     string        `env:"JWT_ISSUER" envDefault:"realmgate" doc:"iss of access tokens; the same in users-svc."`
	Audience   string        `env:"JWT_AUDIENCE" envDefault:"realmgate" doc:"aud of access tokens; the same in users-svc."`
	SessionTTL time.Duration `env:"SESSION_CACHE_TTL" envDefault:"900ms" doc:"How long a session state stays in memory when no announcement of a change arrives; at most 5s."`
}

// Validate checks what tags cannot say.
func (c Config) Validate() error {
	var p config.Problems
	p.Must(c.SessionTTL >= 0 && c.SessionTTL <= 5*time.Second, "SESSION_CACHE_TTL must be from 0s to 5s")
	return p.Err()
}
