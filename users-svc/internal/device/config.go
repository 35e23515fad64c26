package device

import (
	"time"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/ratelimit"
)

// Config holds the settings of device authorization.
type Config struct {
	CodeTTL time.Duration  `env:"DEVICE_CODE_TTL" envDefault:"15m" doc:"How long a device that signs in waits for the approval in a browser."`
	Rate    ratelimit.Rate `env:"RATE_LIMIT_DEVICE" envDefault:"100/10m" doc:"Device authorizations begun from one address."`
}

// Validate reports durations that are out of range.
func (c Config) Validate() error {
	var p config.Problems
	p.Must(c.CodeTTL >= time.Second, "DEVICE_CODE_TTL must be at least 1s")
	return p.Err()
}
