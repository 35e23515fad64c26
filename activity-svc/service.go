package activity

import (
	"context"
	"embed"
	"fmt"
	"io"
	"time"

	"github.com/realmgate/realmgate/activity-svc/internal/streammonitor"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/service"
)

// Name is the service's name, which is also the audience of the identities that it accepts.
const Name = "activity-svc"

const schema = "activity_svc"

//go:embed migrations/*.sql
var migrationFiles embed.FS

// Program describes the binary.
func Program() service.Program[Config] {
	return service.Program[Config]{
		Name: Name, New: New, Base: func(c *Config) *service.Config { return &c.Service }, Migrate: Migrate,
		Commands: []service.Command[Config]{{
			Name: "recount", Doc: "make the counts again from the records, after records were loaded or restored by hand",
			Run: recount,
		}},
	}
}

// Migrate brings the schema up to date and stops.
func Migrate(ctx context.Context, cfg Config, rt service.Runtime) error {
	return db.MigrateAlone(ctx, cfg.DB, schema, migrationFiles, rt.Log)
}

func recount(ctx context.Context, cfg Config, rt service.Runtime, _ []string, out io.Writer) error {
	pool, err := db.Open(ctx, cfg.DB, schema, nil, nil)
	if err != nil {
		return err
	}
	defer pool.Close()
	s, clock := &store{pool: pool}, db.NewClock(pool, rt.Now, rt.Log, nil)
	now, err := clock.Read(ctx)
	if err != nil {
		return err
	}
	records, err := s.recount(ctx, now.Earlier().Truncate(time.Millisecond))
	if err != nil {
		return err
	}
	maintain := &maintainer{store: s, retention: cfg.Retention, clock: clock, log: rt.Log, metrics: newMetrics(nil)}
	if err := maintain.runOnce(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%d records counted\n", records)
	return err
}

// New opens the database, NATS and the listener, brings the schema up to date, and declares the
// service; Run serves. NATS may be away: the service then reads, and stores what comes when NATS is
// back.
func New(ctx context.Context, cfg Config, rt service.Runtime) (*service.Service, error) {
	return service.Build(ctx, Name, cfg.Service, rt, func(svc *service.Service) error { return build(ctx, svc, cfg, rt) })
}

func build(ctx context.Context, svc *service.Service, cfg Config, rt service.Runtime) error {
	identities, err := cfg.internalKeys(rt.Now)
	if err != nil {
		return err
	}
	if cfg.SharedKeys != "" {
		rt.Log.Warn(auth.SharedKeysWarning)
	}
	pool, err := db.Open(ctx, cfg.DB, schema, rt.Metrics, rt.Traces)
	if err != nil {
		return err
	}
	svc.OnStop("database", func(context.Context) error { pool.Close(); return nil })
	svc.Ready("database", db.NewHeartbeat(pool).Check)
	if err := db.Prepare(ctx, cfg.DB, pool, schema, migrationFiles, rt.Log); err != nil {
		return err
	}
	nats, err := bus.Connect(cfg.Bus, Name, rt.Log)
	if err != nil {
		return err
	}
	svc.OnStop("nats", func(context.Context) error { nats.Close(); return nil })
	svc.Note("nats", nats.Ready)

	s, m := &store{pool: pool}, newMetrics(rt.Metrics)
	own, err := s.installation(ctx)
	if err != nil {
		return fmt.Errorf("installation id: %w", err)
	}
	clock := db.NewClock(pool, rt.Now, rt.Log, rt.Metrics)
	maintain := &maintainer{store: s, retention: cfg.Retention, clock: clock, log: rt.Log, metrics: m}
	svc.Go("maintenance", maintain.run)
	svc.Go("counting", maintain.count)
	c := &consumer{
		bus: nats, cfg: cfg.consumer(own.id), store: s, retention: cfg.Retention, now: rt.Now, clock: clock,
		log: rt.Log, metrics: m, traces: rt.Traces,
	}
	streammonitor.New(nats, event.NamesOf(own.id), rt.Log, rt.Metrics).Mount(svc)
	for range cfg.Writers {
		svc.Go("consumer", c.run)
	}
	if own.upgraded {
		svc.Go("consumer of the previous release's stream", c.previous(cfg, own.id).run)
	}
	server := httpx.New(httpx.Options{
		Name: Name, Log: rt.Log, Metrics: rt.Metrics, Traces: rt.Traces, Identities: identities, Classify: db.Classify,
		LogErrorsOnly: cfg.Service.LogRequests == "errors",
	})
	(&handlers{store: s, retention: cfg.Retention, installation: own.id, now: rt.Now}).mount(server)
	files, err := cfg.TLS.Open(rt.Log)
	if err != nil {
		return err
	}
	if err := svc.ServeTLS(cfg.Addr, server, files); err != nil {
		return fmt.Errorf("ACTIVITY_ADDR: %w", err)
	}
	return nil
}
