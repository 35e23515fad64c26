package users

import (
	"net/url"
	"strings"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/ratelimit"
	"github.com/realmgate/realmgate/pkg/redisdb"
	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/pkg/tlsfiles"
)

// Config is every setting of users-svc.
type Config struct {
	Service         service.Config
	Addr            string `env:"USERS_ADDR" envDefault:"127.0.0.1:8081" doc:"Where the service answers the gateway."`
	TLS             tlsfiles.Internal
	DB              db.Config
	Bus             bus.Config
	Redis           redisdb.Config
	InternalKeys    config.Secret `env:"USERS_INTERNAL_KEYS" doc:"Comma-separated keys that only the gateway and this service have, 32 characters or more each. Required."`
	SharedKeys      config.Secret `env:"INTERNAL_KEYS" doc:"Deprecated: one list of keys for all services, accepted beside or instead of their own."`
	KeyKey          config.Secret `env:"KEY_ENCRYPTION_KEY,required" doc:"Comma-separated AES-256 keys (32 bytes, base64) that seal signing keys and TOTP secrets; the first seals, all open."`
	AppName         string        `env:"APP_NAME" envDefault:"Realmgate" doc:"The name that clients and mails show."`
	Tokens          TokenConfig
	Passwords       PasswordConfig
	Signup          SignupConfig
	Throttle        ThrottleConfig
	Mail            MailConfig
	FreeTierServers Inventory `env:"FREE_TIER_SERVERS" envDefault:"eu-west:DE:Frankfurt:10000;us-east:US:Ashburn:10000" doc:"The free-tier servers, region:country:city:capacity each, with semicolons between; capacity counts accounts. Admins may add more."`
	AuthTokenLimit  int       `env:"AUTH_TOKEN_LIMIT" envDefault:"100" doc:"Most auth tokens that a user may have."`
	// HistoryRetention is at most 180 days by the contract; less is allowed.
	HistoryRetention time.Duration `env:"HISTORY_RETENTION" envDefault:"4320h" doc:"How long the security history is kept."`
	CleanupEvery     time.Duration `env:"CLEANUP_INTERVAL" envDefault:"1h" doc:"How often what has expired is deleted."`
}

// TokenConfig says how sessions and their tokens live.
type TokenConfig struct {
	Issuer     string        `env:"JWT_ISSUER" envDefault:"realmgate" doc:"iss of access tokens; the same in the gateway."`
	Audience   string        `env:"JWT_AUDIENCE" envDefault:"realmgate" doc:"aud of access tokens; the same in the gateway."`
	AccessTTL  time.Duration `env:"ACCESS_TOKEN_TTL" envDefault:"24h" doc:"How long an access token is good for."`
	RefreshTTL time.Duration `env:"REFRESH_TOKEN_TTL" envDefault:"168h" doc:"How long a refresh token is good for: a session that is idle for longer ends."`
	MaxSession time.Duration `env:"SESSION_MAX_LIFETIME" envDefault:"2160h" doc:"After this a session ends however busy it is."`
	Grace      time.Duration `env:"REFRESH_GRACE" envDefault:"60s" doc:"How long a refresh token stays good after it was replaced; later use ends the session."`
	HalfLogin  time.Duration `env:"TWOFACTOR_LOGIN_TTL" envDefault:"5m" doc:"How long the second factor may follow the password."`
	KeyMaxAge  time.Duration `env:"SIGNING_KEY_MAX_AGE" envDefault:"2160h" doc:"A new signing key is made when the newest is older."`
	KeyLead    time.Duration `env:"SIGNING_KEY_LEAD" envDefault:"15m" doc:"How long a new signing key is published before it signs."`
}

// PasswordConfig says how passwords are hashed (Argon2id, RFC 9106) and which are refused.
type PasswordConfig struct {
	MemoryKiB  uint32 `env:"PASSWORD_HASH_MEMORY_KIB" envDefault:"19456" doc:"Argon2id memory of one hash in KiB; a weaker hash is renewed at login."`
	Time       uint32 `env:"PASSWORD_HASH_TIME" envDefault:"2" doc:"Argon2id passes."`
	Threads    uint8  `env:"PASSWORD_HASH_THREADS" envDefault:"1" doc:"Argon2id lanes of one hash."`
	Parallel   int    `env:"PASSWORD_HASH_PARALLEL" envDefault:"0" doc:"Hashes at the same time; 0: one per core."`
	Queue      int    `env:"PASSWORD_HASH_QUEUE" envDefault:"256" doc:"Hashes that may wait; more are answered 503."`
	DenyCommon bool   `env:"PASSWORD_DENY_COMMON" envDefault:"true" doc:"Refuse common passwords, and the user's or the product's names, also with digits and symbols."`
}

// SignupConfig says who may have an account.
type SignupConfig struct {
	Enabled        bool          `env:"SIGNUP_ENABLED" envDefault:"true" doc:"Whether strangers may sign up."`
	InviteRequired bool          `env:"INVITE_REQUIRED" envDefault:"false" doc:"Whether the free tier is only for those who signed up with one of INVITE_CODES."`
	InviteCodes    config.Secret `env:"INVITE_CODES" doc:"Comma-separated invite codes."`
	AdminEmail     string        `env:"ADMIN_EMAIL" doc:"Address of the first admin, created at start while there is no admin."`
	AdminPassword  config.Secret `env:"ADMIN_PASSWORD" doc:"Password of the first admin."`
}

// ThrottleConfig bounds what can be tried at sign-in.
type ThrottleConfig struct {
	LoginAccount ratelimit.Rate `env:"RATE_LIMIT_LOGIN_ACCOUNT" envDefault:"10/15m" doc:"Failed logins per account; then each failure doubles the wait."`
	LoginAddress ratelimit.Rate `env:"RATE_LIMIT_LOGIN_ADDRESS" envDefault:"1000/30m" doc:"Failed logins per client address."`
	Refresh      ratelimit.Rate `env:"RATE_LIMIT_REFRESH" envDefault:"30/30m" doc:"Refreshes per session."`
}

// MailConfig says how mail is sent. Without a server no mail is sent and every address counts as
// verified.
type MailConfig struct {
	URL       config.Secret `env:"SMTP_URL" doc:"Mail server: smtp://user:password@host:587 (STARTTLS when offered) or smtps://host:465; ?tls=required or ?tls=off. Empty: no mail."`
	From      string        `env:"MAIL_FROM" envDefault:"Realmgate <no-reply@localhost>" doc:"Sender of mails."`
	PublicURL string        `env:"PUBLIC_URL" doc:"Where people reach the product, perhaps with a path; links in mails begin with it. Default: the gateway's address in standalone, else http://127.0.0.1:8080."`
	VerifyTTL time.Duration `env:"MAIL_VERIFY_TTL" envDefault:"48h" doc:"How long a verification link is good for."`
	ResetTTL  time.Duration `env:"MAIL_RESET_TTL" envDefault:"1h" doc:"How long a password reset link is good for."`
	// RetryAfter doubles with each attempt.
	RetryAfter time.Duration `env:"MAIL_RETRY_AFTER" envDefault:"20s" doc:"First pause after a mail could not be sent."`
}

// On reports whether there is a mail server.
func (c MailConfig) On() bool { return c.URL != "" }

// base is PUBLIC_URL, or where a gateway listens by default.
func (c MailConfig) base() string {
	if c.PublicURL == "" {
		return "http://127.0.0.1:8080"
	}
	return strings.TrimRight(c.PublicURL, "/")
}

// link is where a mailed token is used. The token stands in the fragment, which browsers do not
// send, so that it gets into no access log.
func (c MailConfig) link(purpose, token string) string {
	page := "/verify-email"
	if purpose == purposeReset {
		page = "/reset-password"
	}
	return c.base() + page + "#token=" + token
}

func (c Config) internalKeys(now func() time.Time) (*auth.InternalKeys, error) {
	return auth.ReadInternalKeys("USERS_INTERNAL_KEYS", c.InternalKeys.Reveal(), c.SharedKeys.Reveal(), now)
}

// Validate checks what tags cannot say.
func (c Config) Validate() error {
	var p config.Problems
	p.Address("USERS_ADDR", c.Addr)
	_, err := c.internalKeys(time.Now)
	p.Must(err == nil, "%w", err)
	_, err = newSealer(c.KeyKey.Reveal())
	p.Must(err == nil, "KEY_ENCRYPTION_KEY: %w", err)
	if c.Mail.On() {
		_, err = newSMTPSender(c.Mail)
		p.Must(err == nil, "%w", err)
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"ACCESS_TOKEN_TTL", c.Tokens.AccessTTL}, {"REFRESH_TOKEN_TTL", c.Tokens.RefreshTTL},
		{"SESSION_MAX_LIFETIME", c.Tokens.MaxSession},
		{"TWOFACTOR_LOGIN_TTL", c.Tokens.HalfLogin}, {"SIGNING_KEY_MAX_AGE", c.Tokens.KeyMaxAge},
		{"HISTORY_RETENTION", c.HistoryRetention},
		{"CLEANUP_INTERVAL", c.CleanupEvery}, {"MAIL_VERIFY_TTL", c.Mail.VerifyTTL}, {"MAIL_RESET_TTL", c.Mail.ResetTTL},
		{"MAIL_RETRY_AFTER", c.Mail.RetryAfter},
	} {
		p.Must(d.value > 0, "%s must be above 0s", d.name)
	}
	p.Must(c.Tokens.Grace >= 0, "REFRESH_GRACE must not be negative")
	p.Must(c.Tokens.KeyLead >= 0, "SIGNING_KEY_LEAD must not be negative")
	h := c.Passwords
	p.Must(h.Time >= 1, "PASSWORD_HASH_TIME must be at least 1")
	p.Must(h.Threads >= 1, "PASSWORD_HASH_THREADS must be at least 1")
	p.Must(h.MemoryKiB >= 8*max(uint32(h.Threads), 1),
		"PASSWORD_HASH_MEMORY_KIB must be at least 8 for each of PASSWORD_HASH_THREADS")
	p.Must(h.Parallel >= 0, "PASSWORD_HASH_PARALLEL must not be negative")
	p.Must(h.Queue >= 1, "PASSWORD_HASH_QUEUE must be at least 1")
	p.Must((c.Signup.AdminEmail == "") == (c.Signup.AdminPassword == ""), "ADMIN_EMAIL and ADMIN_PASSWORD belong together")
	u, err := url.Parse(c.Mail.base())
	p.Must(err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.RawQuery == "" &&
		u.Fragment == "",
		"PUBLIC_URL must be http://host or https://host, perhaps with a port and a path")
	p.Must(c.AuthTokenLimit >= 1, "AUTH_TOKEN_LIMIT must be at least 1")
	return p.Err()
}
