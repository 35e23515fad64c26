package identity

import (
	"time"

	"github.com/realmgate/realmgate/pkg/config"
)

// Config says which access tokens are accepted, and for how long session states are remembered.
type Config struct {
	Issuer   string `env:"JWT_ISSUER" envDefault:"realmgate" doc:"iss of access tokens; the same in users-svc."`
	Audience string `env:"JWT_AUDIENCE" envDefault:"realmgate" doc:"aud of access tokens; the same in users-svc."`
	// SessionTTL is how long a session state stays in memory when no announcement of a change
	// arrives.
	SessionTTL time.Duration `removed:"SESSION_CACHE_TTL" envDefault:"900ms"`
}

// Validate checks what tags cannot say.
func (c Config) Validate() error {
	var p config.Problems
	return p.Err()
}
