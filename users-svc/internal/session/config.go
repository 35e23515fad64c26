package session

import (
	"time"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/ratelimit"
)

// Config has the settings of sessions and their tokens.
type Config struct {
	AccessTTL   time.Duration  `env:"ACCESS_TOKEN_TTL" envDefault:"24h" doc:"How long an access token is good for."`
	RefreshTTL  time.Duration  `env:"REFRESH_TOKEN_TTL" envDefault:"168h" doc:"How long a refresh token is good for: a session that is idle for longer ends."`
	MaxLifetime time.Duration  `env:"SESSION_MAX_LIFETIME" envDefault:"2160h" doc:"After this a session ends however busy it is."`
	Grace       time.Duration  `env:"REFRESH_GRACE" envDefault:"60s" doc:"How long a refresh token stays good after it was replaced; later use ends the session."`
	RefreshRate ratelimit.Rate `env:"RATE_LIMIT_REFRESH" envDefault:"30/30m" doc:"Refreshes per session."`
}

// Validate checks the rules that tags cannot express.
func (c Config) Validate() error {
	var p config.Problems
	p.Must(c.AccessTTL > 0, "ACCESS_TOKEN_TTL must be above 0s")
	p.Must(c.RefreshTTL > 0, "REFRESH_TOKEN_TTL must be above 0s")
	p.Must(c.MaxLifetime > 0, "SESSION_MAX_LIFETIME must be above 0s")
	p.Must(c.Grace >= 0, "REFRESH_GRACE must not be negative")
	return p.Err()
}
