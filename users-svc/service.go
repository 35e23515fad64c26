// Package users provides the accounts of Realmgate: sign-up, sign-in, sessions and their tokens,
// auth tokens, the second factor, administration, and the free tier. It is the only service that
// issues tokens. Start reading at mountDomains in service.go, which wires the domains below
// internal/. Each domain has its rules in <noun>.go, its routes in <noun>_http.go and its SQL in
// <noun>_store.go, and imports only packages of lower layers (deploy/archtest holds the table).
// This package has the settings, the migrations and the commands.
package users

import (
	"cmp"
	"context"
	"embed"
	"fmt"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/ratelimit"
	"github.com/realmgate/realmgate/pkg/redisdb"
	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/admin"
	"github.com/realmgate/realmgate/users-svc/internal/apitoken"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/device"
	"github.com/realmgate/realmgate/users-svc/internal/emailchange"
	"github.com/realmgate/realmgate/users-svc/internal/freetier"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/mail"
	"github.com/realmgate/realmgate/users-svc/internal/oidc"
	"github.com/realmgate/realmgate/users-svc/internal/passkey"
	"github.com/realmgate/realmgate/users-svc/internal/passwords"
	"github.com/realmgate/realmgate/users-svc/internal/secrets"
	"github.com/realmgate/realmgate/users-svc/internal/session"
	"github.com/realmgate/realmgate/users-svc/internal/signin"
	"github.com/realmgate/realmgate/users-svc/internal/signing"
	"github.com/realmgate/realmgate/users-svc/internal/signup"
	"github.com/realmgate/realmgate/users-svc/internal/throttle"
	"github.com/realmgate/realmgate/users-svc/internal/twofactor"
)

// Name is the name of the service, and the audience of the identities that it accepts.
const Name = "users-svc"

const schema = "users_svc"

//go:embed migrations/*.sql
var migrationFiles embed.FS

// resources are the connections and keys that both the service and its commands open.
type resources struct {
	*core.Core
	states  *sessionstate.Cache
	limiter *ratelimit.Limiter
	sealer  *secrets.Sealer
	// internal holds the keys that this service shares with the gateways.
	internal *auth.InternalKeys
	clock    *db.Clock // judges the age of rows
}

// Program returns the description of the binary: its settings, service and commands.
func Program() service.Program[Config] {
	return service.Program[Config]{
		Name: Name, New: New, Base: func(c *Config) *service.Config { return &c.Service }, Migrate: Migrate,
		Commands: commands(),
	}
}

// Migrate applies the pending migrations of the schema.
func Migrate(ctx context.Context, cfg Config, rt service.Runtime) error {
	return db.MigrateAlone(ctx, cfg.DB, schema, migrationFiles, rt.Log)
}

// New opens the database, Redis, NATS and the listener, applies pending migrations, and registers
// the domains. Run serves.
func New(ctx context.Context, cfg Config, rt service.Runtime) (*service.Service, error) {
	return service.Build(ctx, Name, cfg.Service, rt, func(svc *service.Service) error {
		return build(ctx, svc, cfg, rt)
	})
}

// build opens the resources and registers the server, the domains and the background jobs with svc.
func build(ctx context.Context, svc *service.Service, cfg Config, rt service.Runtime) error {
	res, err := openResources(ctx, svc.OnStop, cfg, rt)
	if err != nil {
		return err
	}
	svc.Ready("database", db.NewHeartbeat(res.Pool).Check)
	if err := db.Prepare(ctx, cfg.DB, res.Pool, schema, migrationFiles, rt.Log); err != nil {
		return err
	}
	svc.Go("notifier", res.Changes.Run)
	if cfg.SharedKeys != "" {
		rt.Log.Warn(auth.SharedKeysWarning)
	}
	server := httpx.New(httpx.Options{
		Name: Name, Log: rt.Log, Metrics: rt.Metrics, Traces: rt.Traces, Identities: res.internal,
		Classify: db.Classify, LogErrorsOnly: cfg.Service.LogRequests == "errors",
	})
	server.Use(core.ReportChanges)
	if err := mountDomains(ctx, svc, server, cfg, rt, res); err != nil {
		return err
	}
	files, err := cfg.TLS.Open(rt.Log)
	if err != nil {
		return err
	}
	if err := svc.ServeTLS(cfg.Addr, server, files); err != nil {
		return fmt.Errorf("USERS_ADDR: %w", err)
	}
	return nil
}

// openResources opens the resources and registers with onStop how to close each. The database may
// still be down.
func openResources(ctx context.Context, onStop func(name string, closeIt func(context.Context) error), cfg Config,
	rt service.Runtime) (*resources, error) {
	res := &resources{Core: &core.Core{Log: rt.Log, Now: rt.Now}}
	var err error
	if res.sealer, err = secrets.NewSealer(cfg.KeyEncryptionKey.Reveal()); err != nil {
		return nil, fmt.Errorf("KEY_ENCRYPTION_KEY: %w", err)
	}
	if res.internal, err = cfg.internalKeys(rt.Now); err != nil {
		return nil, err
	}
	if res.Pool, err = db.Open(ctx, cfg.DB, schema, rt.Metrics, rt.Traces); err != nil {
		return nil, err
	}
	onStop("database", func(context.Context) error { res.Pool.Close(); return nil })
	res.clock = db.NewClock(res.Pool, rt.Now, rt.Log, rt.Metrics)
	rdb, err := redisdb.Open(cfg.Redis)
	if err != nil {
		return nil, err
	}
	onStop("redis", func(context.Context) error { return rdb.Close() })
	nats, err := bus.Connect(cfg.Bus, Name, rt.Log)
	if err != nil {
		return nil, err
	}
	onStop("nats", func(context.Context) error { nats.Close(); return nil })
	if res.limiter, err = ratelimit.New(rdb,
		func(err error) { rt.Log.Warn("limits are local: Redis", "error", err.Error()) }); err != nil {
		return nil, err
	}
	res.states = sessionstate.NewCache(rdb, res.internal)
	res.Changes = core.NewNotifier(res.states, nats, rt.Log)
	return res, nil
}

// mountDomains creates every domain, mounts its routes and registers its background jobs.
func mountDomains(ctx context.Context, svc *service.Service, server *httpx.Server, cfg Config, rt service.Runtime,
	res *resources) error {
	c := res.Core
	freeTier, err := freetier.New(ctx, c, cfg.FreeTierServers, cfg.Signup.InviteRequired)
	if err != nil {
		return err
	}
	hasher := passwords.NewHasher(cfg.Passwords)
	hasher.Register(rt.Metrics)
	keys := signing.New(c, cfg.Signing, cfg.Sessions.AccessTTL, res.sealer, res.clock)
	if err := keys.Maintain(ctx); err != nil {
		return err
	}
	policy := passwords.NewPolicy(cfg.Passwords.DenyCommon, cfg.AppName)
	outbox, err := mail.NewOutbox(c, cfg.Mail, cfg.AppName, hasher.Unusable, rt.Metrics)
	if err != nil {
		return err
	}
	loginThrottle := throttle.New(c, hasher, cfg.Passwords.AccountRate)
	accounts := account.New(loginThrottle, policy, cfg.VaultQuotaMB)
	sessions := session.New(c, cfg.Sessions, keys, res.states, res.limiter)
	securityHistory := history.New(c)
	admins := admin.New(accounts, sessions, securityHistory, policy, cfg.Mail.On())
	if err := admins.EnsureFirst(ctx, cfg.FirstAdmin); err != nil {
		return err
	}
	emailChanges := emailchange.New(accounts, outbox, res.limiter)
	signUps := signup.New(c, hasher, policy, outbox, emailChanges, cfg.Signup, cfg.AppName, cfg.OIDC.Providers())
	signIns := signin.New(sessions, loginThrottle, policy, freeTier, outbox, res.limiter, cfg.SignIn)
	factors := twofactor.New(accounts, signIns, res.sealer, cmp.Or(cfg.AppName, Name))
	devices := device.New(signIns, res.limiter, cfg.Device, cfg.Mail.BaseURL())
	federation := oidc.New(accounts, signIns, signUps, cfg.OIDC, cfg.Mail.BaseURL())
	passkeys, err := passkey.New(signIns, cfg.Mail.BaseURL(), cmp.Or(cfg.AppName, Name))
	if err != nil {
		return fmt.Errorf("PUBLIC_URL: %w", err)
	}
	tokens := apitoken.New(c, res.states, factors, cfg.AuthTokenLimit)
	for _, d := range []mounter{keys, sessions, signIns, securityHistory, outbox, signUps, admins, accounts, freeTier,
		tokens, factors, devices, emailChanges, federation, passkeys} {
		d.Mount(server)
	}
	svc.Every("upkeep of signing keys", signing.MaintainEvery, keys.Maintain)
	svc.Every("note of when sessions were last seen", session.FlushEvery, sessions.FlushLastSeen)
	svc.Go("mails", outbox.Run)
	svc.Every("cleanup", cfg.CleanupEvery, (&cleanup{c, res.clock, cfg.HistoryRetention}).deleteExpired)
	return nil
}

// mounter is a domain with routes.
type mounter interface{ Mount(*httpx.Server) }
