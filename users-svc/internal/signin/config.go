package signin

import (
	"time"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/ratelimit"
)

// Config holds the settings of sign-in.
type Config struct {
	PendingTTL  time.Duration  `env:"TWOFACTOR_LOGIN_TTL" envDefault:"5m" doc:"How long a login waits for the second factor after the password."`
	AddressRate ratelimit.Rate `env:"RATE_LIMIT_LOGIN_ADDRESS" envDefault:"1000/30m" doc:"Failed logins per client address."`
}

// Validate reports durations that are out of range.
func (c Config) Validate() error {
	var p config.Problems
	p.Must(c.PendingTTL > 0, "TWOFACTOR_LOGIN_TTL must be above 0s")
	return p.Err()
}
