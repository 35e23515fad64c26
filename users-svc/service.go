package users

import (
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
)

// Name is the service's name, which is also the audience of the identities that it accepts.
const Name = "users-svc"

const schema = "users_svc"

//go:embed migrations/*.sql
var migrationFiles embed.FS

// resources are the connections and keys that the service and its commands open.
type resources struct {
	*core
	states  *sessionstate.Cache
	limiter *ratelimit.Limiter
	sealer  *sealer
	// internal are the keys that this service shares with the gateways.
	internal *auth.InternalKeys
	clock    *db.Clock // the age of rows is judged by it
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
	r, err := openResources(ctx, svc.OnStop, cfg, rt)
	if err != nil {
		return err
	}
	svc.Ready("database", db.NewHeartbeat(r.pool).Check)
	if err := db.Prepare(ctx, cfg.DB, r.pool, schema, migrationFiles, rt.Log); err != nil {
		return err
	}
	svc.Go("notifier", r.changes.run)
	if cfg.SharedKeys != "" {
		rt.Log.Warn(auth.SharedKeysWarning)
	}
	server := httpx.New(httpx.Options{
		Name: Name, Log: rt.Log, Metrics: rt.Metrics, Traces: rt.Traces, Identities: r.internal, Classify: db.Classify,
		LogErrorsOnly: cfg.Service.LogRequests == "errors",
	})
	server.Use(tellGateway)
	if err := mountDomains(ctx, svc, server, cfg, rt, r); err != nil {
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

// openResources opens the resources and registers through onStop how each is closed. The database
// need not answer yet.
func openResources(ctx context.Context, onStop func(name string, closeIt func(context.Context) error), cfg Config,
	rt service.Runtime) (*resources, error) {
	r := &resources{core: &core{log: rt.Log, now: rt.Now}}
	var err error
	if r.sealer, err = newSealer(cfg.KeyKey.Reveal()); err != nil {
		return nil, fmt.Errorf("KEY_ENCRYPTION_KEY: %w", err)
	}
	if r.internal, err = cfg.internalKeys(rt.Now); err != nil {
		return nil, err
	}
	if r.pool, err = db.Open(ctx, cfg.DB, schema, rt.Metrics, rt.Traces); err != nil {
		return nil, err
	}
	onStop("database", func(context.Context) error { r.pool.Close(); return nil })
	r.clock = db.NewClock(r.pool, rt.Now, rt.Log, rt.Metrics)
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
	if r.limiter, err = ratelimit.New(rdb,
		func(err error) { rt.Log.Warn("limits are local: Redis", "error", err.Error()) }); err != nil {
		return nil, err
	}
	r.states = sessionstate.NewCache(rdb, r.internal)
	r.changes = newNotifier(r.states, nats, rt.Log)
	return r, nil
}
