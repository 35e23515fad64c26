package vault

import (
	"fmt"
	"time"

	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/quota"
	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/pkg/tlsfiles"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
)

// Config is the settings of vault-svc.
type Config struct {
	Service       service.Config
	Addr          string `env:"VAULT_ADDR" envDefault:"127.0.0.1:8082" doc:"Where the service answers the gateway."`
	TLS           tlsfiles.Internal
	DB            db.Config
	Bus           bus.Config
	InternalKeys  config.Secret `env:"VAULT_INTERNAL_KEYS" doc:"Required: comma-separated keys that only the gateway and this service have, at least 32 characters."`
	SharedKeys    config.Secret `env:"INTERNAL_KEYS" doc:"Deprecated: one list of keys for all services, accepted beside or instead of their own."`
	KeyEncryption config.Secret `env:"VAULT_KEY_ENCRYPTION_KEY,required" doc:"Tink keyset (JSON) that wraps the users' data keys, as vault-svc keys generate prints it."`

	KMS sealing.KMSConfig

	QuotaMB  int64 `env:"VAULT_QUOTA_MB" envDefault:"50" doc:"What a user may store over all realms, in MB (1,048,576 bytes), unless an admin gave the user a quota of their own."`
	MaxItems int64 `env:"VAULT_MAX_ITEMS" envDefault:"100000" doc:"Most keys that a user may have over all realms: empty values cost no quota, so something else must bound them."`

	Versions       int64         `env:"VAULT_VERSIONS" envDefault:"10" doc:"Earlier versions kept for each key; 0: overwriting keeps nothing."`
	TrashRetention time.Duration `env:"VAULT_TRASH_RETENTION" envDefault:"720h" doc:"How long the trash keeps what was deleted recoverably; 0s: there is no trash."`

	MaxBodyMB     int64 `env:"VAULT_MAX_BODY_MB" envDefault:"0" doc:"Largest body of a vault write in MB; 0: six times the quota and 2 MB, at least 110 and at most 1000."`
	InflightBytes int64 `env:"VAULT_MAX_INFLIGHT_BYTES" envDefault:"536870912" doc:"Memory in bytes for large values on their way in and out; more of them wait."`
	// InflightWait is how long a request waits for that memory before it is answered 503.
	InflightWait time.Duration `removed:"VAULT_INFLIGHT_WAIT" envDefault:"10s"`

	// KeyCache is the number of unwrapped data keys in memory, one for each user. A key is dropped an
	// hour after its last use.
	KeyCache int `removed:"VAULT_KEY_CACHE" envDefault:"10000"`
}

// megabyte is one MB as the API and the settings define it.
const megabyte = 1 << 20

// maxVersions bounds VAULT_VERSIONS.
const maxVersions = 10_000

const maxBodyMB = quota.LargestBody / megabyte

func (c Config) internalKeys(now func() time.Time) (*auth.InternalKeys, error) {
	return auth.ReadInternalKeys("VAULT_INTERNAL_KEYS", c.InternalKeys.Reveal(), c.SharedKeys.Reveal(), now)
}

// Validate checks the settings beyond their types.
func (c Config) Validate() error {
	var p config.Problems
	p.Address("VAULT_ADDR", c.Addr)
	_, err := c.internalKeys(time.Now)
	p.Must(err == nil, "%w", err)
	p.Must(c.QuotaMB >= 1 && c.QuotaMB <= 1<<20, "VAULT_QUOTA_MB must be from 1 to 1048576")
	p.Must(c.MaxItems >= 1, "VAULT_MAX_ITEMS must be at least 1")
	p.Must(c.Versions >= 0 && c.Versions <= maxVersions, "VAULT_VERSIONS must be from 0 to %d", maxVersions)
	p.Must(c.TrashRetention == 0 || c.TrashRetention >= time.Second, "VAULT_TRASH_RETENTION must be 0s or at least 1s")
	p.Must(c.MaxBodyMB >= 0 && c.MaxBodyMB <= maxBodyMB, "VAULT_MAX_BODY_MB must be from 0 to %d", maxBodyMB)
	p.Must(c.InflightBytes >= megabyte, "VAULT_MAX_INFLIGHT_BYTES must be at least %d", megabyte)
	_, err = sealing.ParseKeyset(c.KeyEncryption.Reveal())
	p.Must(err == nil || c.KMS.URI != "", "VAULT_KEY_ENCRYPTION_KEY: %w", err)
	return p.Err()
}

// quota returns the default quota in bytes.
func (c Config) quota() int64 { return c.QuotaMB * megabyte }

// keyset opens the keyset. If a KMS is configured, the KMS unwraps it first.
func (c Config) keyset() (k *sealing.Keyset, err error) {
	if c.KMS.URI == "" {
		k, err = sealing.ParseKeyset(c.KeyEncryption.Reveal())
	} else {
		var kms tink.AEAD
		if kms, err = c.KMS.Open(); err != nil {
			return nil, err
		}
		k, err = sealing.UnwrapKeyset(c.KeyEncryption.Reveal(), kms)
	}
	if err != nil {
		return nil, fmt.Errorf("VAULT_KEY_ENCRYPTION_KEY: %w", err)
	}
	return k, nil
}

// reveal returns k as text for VAULT_KEY_ENCRYPTION_KEY. The text is secret unless a KMS wraps it.
func (c Config) reveal(k *sealing.Keyset) (string, error) {
	if c.KMS.URI == "" {
		return k.Reveal()
	}
	kms, err := c.KMS.Open()
	if err != nil {
		return "", err
	}
	return k.WrapWith(kms)
}
