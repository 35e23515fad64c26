package passwords

import (
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/ratelimit"
)

// Config holds the settings of password hashes (Argon2id, RFC 9106) and of the rules for passwords.
type Config struct {
	MemoryKiB uint32 `env:"PASSWORD_HASH_MEMORY_KIB" envDefault:"19456" doc:"Argon2id memory of one hash in KiB; a weaker hash is renewed at login."`
	Time      uint32 `env:"PASSWORD_HASH_TIME" envDefault:"2" doc:"Argon2id passes."`
	Threads   uint8  `env:"PASSWORD_HASH_THREADS" envDefault:"1" doc:"Argon2id lanes of one hash."`
	Parallel  int    `env:"PASSWORD_HASH_PARALLEL" envDefault:"0" doc:"Hashes at the same time; 0: one per core."`
	// Queue is the number of hashes that may wait; more are answered 503.
	Queue       int            `removed:"PASSWORD_HASH_QUEUE" envDefault:"256"`
	DenyCommon  bool           `env:"PASSWORD_DENY_COMMON" envDefault:"true" doc:"Refuse common passwords, and the user's or the product's names, also with digits and symbols."`
	AccountRate ratelimit.Rate `env:"RATE_LIMIT_LOGIN_ACCOUNT" envDefault:"10/15m" doc:"Failed logins per account; then each failure doubles the wait."`
}

// Validate checks the rules that tags cannot express.
func (c Config) Validate() error {
	var p config.Problems
	p.Must(c.Time >= 1, "PASSWORD_HASH_TIME must be at least 1")
	p.Must(c.Threads >= 1, "PASSWORD_HASH_THREADS must be at least 1")
	p.Must(c.MemoryKiB >= 8*max(uint32(c.Threads), 1),
		"PASSWORD_HASH_MEMORY_KIB must be at least 8 for each of PASSWORD_HASH_THREADS")
	p.Must(c.Parallel >= 0, "PASSWORD_HASH_PARALLEL must not be negative")
	return p.Err()
}
