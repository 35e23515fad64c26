package session

import (
	"time"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/ratelimit"
)

// Config holds the settings of sessions and their tokens.
type Config struct {
	AccessTTL     time.Duration  `env:"ACCESS_TOKEN_TTL" envDefault:"24h" doc:"Lifetime of an access token."`
	RefreshTTL    time.Duration  `env:"REFRESH_TOKEN_TTL" envDefault:"168h" doc:"Lifetime of a refresh token; a session that is idle for longer ends."`
	MaxLifetime   time.Duration  `env:"SESSION_MAX_LIFETIME" envDefault:"2160h" doc:"Longest life of a session, also of one in use."`
	Grace         time.Duration  `env:"REFRESH_GRACE" envDefault:"60s" doc:"How long a replaced refresh token is accepted after its successor was used; later use ends the session."`
	AdminNeeds2FA bool           `env:"ADMIN_REQUIRE_2FA" envDefault:"false" doc:"Whether admins may use administration only with a second factor."`
	RefreshRate   ratelimit.Rate `env:"RATE_LIMIT_REFRESH" envDefault:"30/30m" doc:"Refreshes per session; raised to two in the lifetime of an access token where that is more."`
}

// Validate reports durations that are out of range.
func (c Config) Validate() error {
	var p config.Problems
	p.Must(c.AccessTTL > 0, "ACCESS_TOKEN_TTL must be above 0s")
	p.Must(c.RefreshTTL > 0, "REFRESH_TOKEN_TTL must be above 0s")
	p.Must(c.MaxLifetime > 0, "SESSION_MAX_LIFETIME must be above 0s")
	p.Must(c.Grace >= 0, "REFRESH_GRACE must not be negative")
	return p.Err()
}

// refreshRate returns RATE_LIMIT_REFRESH, raised to two refreshes in the lifetime of an access
// token. A client that refreshes when half of the lifetime is over never reaches it.
func (c Config) refreshRate() ratelimit.Rate {
	rate := c.RefreshRate
	if !rate.Off() {
		rate.Count = max(rate.Count, 2*int((rate.Period+c.AccessTTL-1)/c.AccessTTL))
	}
	return rate
}
