package users

import (
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/redisdb"
	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/pkg/tlsfiles"
	"github.com/realmgate/realmgate/users-svc/internal/admin"
	"github.com/realmgate/realmgate/users-svc/internal/device"
	"github.com/realmgate/realmgate/users-svc/internal/freetier"
	"github.com/realmgate/realmgate/users-svc/internal/mail"
	"github.com/realmgate/realmgate/users-svc/internal/oidc"
	"github.com/realmgate/realmgate/users-svc/internal/passwords"
	"github.com/realmgate/realmgate/users-svc/internal/secrets"
	"github.com/realmgate/realmgate/users-svc/internal/session"
	"github.com/realmgate/realmgate/users-svc/internal/signin"
	"github.com/realmgate/realmgate/users-svc/internal/signing"
	"github.com/realmgate/realmgate/users-svc/internal/signup"
)

// Config holds all settings of users-svc.
type Config struct {
	Service          service.Config
	Addr             string `env:"USERS_ADDR" envDefault:"127.0.0.1:8081" doc:"Address on which the service listens for the gateway."`
	TLS              tlsfiles.Internal
	DB               db.Config
	Bus              bus.Config
	Redis            redisdb.Config
	InternalKeys     config.Secret `env:"USERS_INTERNAL_KEYS" doc:"Required: comma-separated keys that only the gateway and this service have, at least 32 characters."`
	SharedKeys       config.Secret `env:"INTERNAL_KEYS" doc:"Deprecated: one list of keys for all services, accepted beside or instead of their own."`
	KeyEncryptionKey config.Secret `env:"KEY_ENCRYPTION_KEY,required" doc:"Comma-separated AES-256 keys (32 bytes, base64) that seal signing keys and TOTP secrets; the first seals, all open."`
	AppName          string        `env:"APP_NAME" envDefault:"Realmgate" doc:"Name of the service in clients and mails."`
	Signing          signing.Config
	Sessions         session.Config
	SignIn           signin.Config
	Device           device.Config
	Passwords        passwords.Config
	Signup           signup.Config
	FirstAdmin       admin.FirstAdminConfig
	Mail             mail.Config
	FreeTierServers  freetier.Inventory `env:"FREE_TIER_SERVERS" envDefault:"eu-west:DE:Frankfurt:10000;us-east:US:Ashburn:10000" doc:"Free-tier servers, region:country:city:capacity each (capacity in accounts), separated by semicolons."`
	VaultQuotaMB     int64              `env:"VAULT_QUOTA_MB" envDefault:"50" doc:"Default quota of a user in MB, as in vault-svc; admins are told it."`
	AuthTokenLimit   int                `env:"AUTH_TOKEN_LIMIT" envDefault:"100" doc:"Largest number of auth tokens per user."`
	OIDC             oidc.Config
	// HistoryRetention is at most 180 days in the API contract; a shorter time is allowed.
	HistoryRetention time.Duration `env:"HISTORY_RETENTION" envDefault:"4320h" doc:"How long the security history is kept."`
	// CleanupEvery is the interval between deletions of expired rows.
	CleanupEvery time.Duration `removed:"CLEANUP_INTERVAL" envDefault:"1h"`
}

func (c Config) internalKeys(now func() time.Time) (*auth.InternalKeys, error) {
	return auth.ReadInternalKeys("USERS_INTERNAL_KEYS", c.InternalKeys.Reveal(), c.SharedKeys.Reveal(), now)
}

// Validate reports settings that are malformed or out of range.
func (c Config) Validate() error {
	var p config.Problems
	p.Address("USERS_ADDR", c.Addr)
	_, err := c.internalKeys(time.Now)
	p.Must(err == nil, "%w", err)
	_, err = secrets.NewSealer(c.KeyEncryptionKey.Reveal())
	p.Must(err == nil, "KEY_ENCRYPTION_KEY: %w", err)
	p.Must(c.HistoryRetention > 0, "HISTORY_RETENTION must be above 0s")
	p.Must(c.VaultQuotaMB >= 1 && c.VaultQuotaMB <= 1<<20, "VAULT_QUOTA_MB must be from 1 to 1048576")
	p.Must(c.AuthTokenLimit >= 1, "AUTH_TOKEN_LIMIT must be at least 1")
	return p.Err()
}
