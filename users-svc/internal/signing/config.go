package signing

import (
	"time"

	"github.com/realmgate/realmgate/pkg/config"
)

// Config holds the settings of access tokens and of the keys that sign them.
type Config struct {
	Issuer   string        `env:"JWT_ISSUER" envDefault:"realmgate" doc:"iss of access tokens; the same in the gateway."`
	Audience string        `env:"JWT_AUDIENCE" envDefault:"realmgate" doc:"aud of access tokens; the same in the gateway."`
	MaxAge   time.Duration `env:"SIGNING_KEY_MAX_AGE" envDefault:"2160h" doc:"A new signing key is made when the newest is older."`
	// Lead is how long a new signing key is published before it signs.
	Lead time.Duration `removed:"SIGNING_KEY_LEAD" envDefault:"15m"`
}

// Validate checks the rules that tags cannot express.
func (c Config) Validate() error {
	var p config.Problems
	p.Must(c.MaxAge > 0, "SIGNING_KEY_MAX_AGE must be above 0s")
	return p.Err()
}
