package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/tlsfiles"
)

// Config has the settings of standalone itself. The services read theirs from the same environment.
type Config struct {
	GatewayAddr string `env:"GATEWAY_ADDR" envDefault:"127.0.0.1:8080" doc:"The public address."`
	TLS         tlsfiles.Public
	AdminAddr   string `env:"ADMIN_ADDR" envDefault:"127.0.0.1:9190" doc:"Private address of the gateway's /livez, /readyz, /metrics and /debug/pprof; the services have the next three ports."`
	DataDir     string `env:"DATA_DIR" doc:"Where everything is kept; by default realmgate in the user's data directory, for root /var/lib/realmgate/data."`
	AdminEmail  string `env:"ADMIN_EMAIL" envDefault:"admin@realmgate.local" doc:"E-mail address of the first admin."`
	// AdminPassword is generated and printed once if it is not set.
	AdminPassword config.Secret `env:"ADMIN_PASSWORD" doc:"Password of the first admin; without it one is generated and printed at the first start."`
	DatabaseURL   config.Secret `env:"DATABASE_URL" doc:"Use this PostgreSQL instead of the one in DATA_DIR."`
	NATSURL       config.Secret `env:"NATS_URL" doc:"Use this NATS instead of the embedded one."`
	RedisURL      config.Secret `env:"REDIS_URL" doc:"Use this Redis instead of the embedded one."`
	PostgresBin   string        `env:"POSTGRES_BIN" doc:"Folder of the programs postgres and initdb; by default they are looked for, and fetched when there are none."`
	LogLevel      string        `env:"LOG_LEVEL" envDefault:"warn" doc:"debug, info, warn or error."`
	LogFormat     string        `env:"LOG_FORMAT" envDefault:"text" doc:"json or text."`
}

// Validate checks the rules that struct tags cannot express.
func (c Config) Validate() error {
	var p config.Problems
	p.Address("GATEWAY_ADDR", c.GatewayAddr)
	p.Address("ADMIN_ADDR", c.AdminAddr)
	if last, err := c.adminAddr(activityPort); err == nil {
		p.Address("ADMIN_ADDR, and the third port after it", last)
	}
	return p.Err()
}

// Offsets of the services' admin ports from the port of ADMIN_ADDR.
const (
	gatewayPort = iota
	usersPort
	vaultPort
	activityPort
)

// adminAddr returns the admin address of the service with the offset. Port 0 stays 0.
func (c Config) adminAddr(offset int) (string, error) {
	host, text, err := net.SplitHostPort(c.AdminAddr)
	if err != nil {
		return "", err
	}
	port, err := net.LookupPort("tcp", text)
	if port == 0 {
		offset = 0
	}
	return net.JoinHostPort(host, strconv.Itoa(port+offset)), err
}

// dataDir returns DATA_DIR, or realmgate in the user's data directory (XDG Base Directory
// Specification).
func (c Config) dataDir() (string, error) {
	if c.DataDir != "" {
		return filepath.Abs(c.DataDir)
	}
	if base := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "realmgate"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("set DATA_DIR: there is no home directory to put the data into: %w", err)
	}
	own := filepath.Join(home, ".local", "share", "realmgate")
	if _, err := os.Stat(filepath.Join(own, marker)); err == nil || os.Geteuid() != 0 {
		return own, nil
	}
	return rootsDataDir, nil
}

// rootsDataDir is root's default data folder, unless root's home already has one. PostgreSQL runs
// as another user, which may not enter root's home, so its data would be kept apart from the rest.
const rootsDataDir = "/var/lib/realmgate/data"

// setHere are the settings of the services that standalone sets itself. Their values in the
// environment have no effect.
var setHere = []string{"USERS_ADDR", "VAULT_ADDR", "ACTIVITY_ADDR", "USERS_URL", "VAULT_URL", "ACTIVITY_URL",
	"JOURNAL_DIR", "USERS_INTERNAL_KEYS", "VAULT_INTERNAL_KEYS", "ACTIVITY_INTERNAL_KEYS", "INTERNAL_KEYS"}

// ignored returns the settings of setHere that environ sets without effect.
func ignored(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(setHere), func(name string) bool { return !isSet(environ, name) })
}
