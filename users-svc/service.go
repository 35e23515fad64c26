package users

import (
	"context"
	"embed"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/ratelimit"
	"github.com/realmgate/realmgate/pkg/redisdb"
	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// Name is the service's name, which is also the audience of the identities that it accepts.
const Name = "users-svc"

const schema = "users_svc"

//go:embed migrations/*.sql
var migrationFiles embed.FS

// core is what every domain works with.
type core struct {
	cfg     Config
	pool    *db.Pool
	redis   redis.UniversalClient
	states  *sessionstate.Cache
	notify  *notifier
	limiter *ratelimit.Limiter
	sealer  *sealer
	// internal are the keys that this service shares with the gateways.
	internal *auth.InternalKeys
	log      *slog.Logger
	now      func() time.Time
	clock    *db.Clock // by which rows are deleted for their age
}

// Program describes the binary.
func Program() service.Program[Config] {
	return service.Program[Config]{
		Name: Name, New: New, Base: func(c *Config) *service.Config { return &c.Service }, Migrate: Migrate,
		Commands: commands(),
	}
}

// Migrate brings the schema up to date and stops.
func Migrate(ctx context.Context, cfg Config, rt service.Runtime) error {
	return db.MigrateAlone(ctx, cfg.DB, schema, migrationFiles, rt.Log)
}

// New opens the database, Redis, NATS and the listener, brings the schema up to date, and declares
// the service; Run serves.
func New(ctx context.Context, cfg Config, rt service.Runtime) (*service.Service, error) {
	return service.Build(ctx, Name, cfg.Service, rt, func(svc *service.Service) error { return build(ctx, svc, cfg, rt) })
}

func build(ctx context.Context, svc *service.Service, cfg Config, rt service.Runtime) error {
	c, err := openCore(ctx, svc.OnStop, cfg, rt)
	if err != nil {
		return err
	}
	svc.Ready("database", db.NewHeartbeat(c.pool).Check)
	if err := db.Prepare(ctx, cfg.DB, c.pool, schema, migrationFiles, rt.Log); err != nil {
		return err
	}
	svc.Go("notifier", c.notify.run)
	if cfg.SharedKeys != "" {
		rt.Log.Warn(auth.SharedKeysWarning)
	}
	server := httpx.New(httpx.Options{
		Name: Name, Log: rt.Log, Metrics: rt.Metrics, Traces: rt.Traces, Identities: c.internal, Classify: db.Classify,
		LogErrorsOnly: cfg.Service.LogRequests == "errors",
	})
	server.Use(tellGateway)
	if err := c.mountDomains(ctx, svc, server, rt); err != nil {
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

// openCore opens what the domains share and says through onStop how it is closed. The database need
// not answer yet.
func openCore(ctx context.Context, onStop func(name string, closeIt func(context.Context) error), cfg Config,
	rt service.Runtime) (*core, error) {
	c := &core{cfg: cfg, log: rt.Log, now: rt.Now}
	var err error
	if c.sealer, err = newSealer(cfg.KeyKey.Reveal()); err != nil {
		return nil, fmt.Errorf("KEY_ENCRYPTION_KEY: %w", err)
	}
	if c.internal, err = cfg.internalKeys(rt.Now); err != nil {
		return nil, err
	}
	if c.pool, err = db.Open(ctx, cfg.DB, schema, rt.Metrics, rt.Traces); err != nil {
		return nil, err
	}
	onStop("database", func(context.Context) error { c.pool.Close(); return nil })
	c.clock = db.NewClock(c.pool, rt.Now, rt.Log, rt.Metrics)
	if c.redis, err = redisdb.Open(cfg.Redis); err != nil {
		return nil, err
	}
	onStop("redis", func(context.Context) error { return c.redis.Close() })
	nats, err := bus.Connect(cfg.Bus, Name, rt.Log)
	if err != nil {
		return nil, err
	}
	onStop("nats", func(context.Context) error { nats.Close(); return nil })
	if c.limiter, err = ratelimit.New(c.redis,
		func(err error) { rt.Log.Warn("limits are local: Redis", "error", err.Error()) }); err != nil {
		return nil, err
	}
	c.states = sessionstate.NewCache(c.redis, c.internal)
	c.notify = newNotifier(c.states, nats, rt.Log)
	return c, nil
}
