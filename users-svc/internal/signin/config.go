package signin

import (
	"time"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/ratelimit"
)

// Config has the settings of sign-in.
type Config struct {
	PendingTTL  time.Duration  `env:"TWOFACTOR_LOGIN_TTL" envDefault:"5m" doc:"How long the second factor may follow the password."`
	AddressRate ratelimit.Rate `env:"RATE_LIMIT_LOGIN_ADDRESS" envDefault:"1000/30m" doc:"Failed logins per client address."`
}

// Validate checks the rules that tags cannot express.
func (c Config) Validate() error {
	var p config.Problems
	p.Must(c.PendingTTL > 0, "TWOFACTOR_LOGIN_TTL must be above 0s")
	return p.Err()
}
