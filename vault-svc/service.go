package vault

import (
	"context"
	"embed"
	"fmt"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/quota"
	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/vault-svc/internal/batch"
	"github.com/realmgate/realmgate/vault-svc/internal/memory"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
	"github.com/realmgate/realmgate/vault-svc/internal/store"
	"github.com/realmgate/realmgate/vault-svc/internal/watch"
)

// Name is the service's name, and the audience of the identities that it accepts.
const Name = "vault-svc"

// schema is the PostgreSQL schema that holds the service's tables.
const schema = "vault_svc"

//go:embed migrations/*.sql
var migrationFiles embed.FS

// requestTimeout bounds a request, including the arrival of its body, which may be hundreds of
// megabytes.
const requestTimeout = 60 * time.Second

// Program describes the binary vault-svc: its settings, commands and migrations.
func Program() service.Program[Config] {
	return service.Program[Config]{
		Name: Name, New: New, Base: func(c *Config) *service.Config { return &c.Service }, Commands: commands(),
		Migrate: func(ctx context.Context, cfg Config, rt service.Runtime) error {
			return db.MigrateAlone(ctx, cfg.DB, schema, migrationFiles, rt.Log)
		},
	}
}

// New opens the database and builds the service, which serves once its Run is called.
func New(ctx context.Context, cfg Config, rt service.Runtime) (*service.Service, error) {
	return service.Build(ctx, Name, cfg.Service, rt,
		func(svc *service.Service) error { return build(ctx, svc, cfg, rt) })
}

// maxBatch is the most items that one statement reads or writes.
const maxBatch = 64

func build(ctx context.Context, svc *service.Service, cfg Config, rt service.Runtime) error {
	identities, err := cfg.internalKeys(rt.Now)
	if err != nil {
		return err
	}
	if cfg.SharedKeys != "" {
		rt.Log.Warn(auth.SharedKeysWarning)
	}
	pool, err := db.Open(ctx, cfg.DB, schema, rt.Metrics, rt.Traces, db.GenericPlans)
	if err != nil {
		return err
	}
	svc.OnStop("database", func(context.Context) error { pool.Close(); return nil })
	if err := db.Prepare(ctx, cfg.DB, pool, schema, migrationFiles, rt.Log); err != nil {
		return err
	}
	keys, err := openKeys(cfg, pool)
	if err == nil {
		err = keys.Check(ctx)
	}
	if err != nil {
		return err
	}
	budget := memory.New(cfg.InflightBytes, cfg.InflightWait)
	v, err := newVault(cfg, store.New(pool), keys)
	if err != nil {
		return err
	}
	v.metrics = newMetrics(rt.Metrics, v, budget)
	hub, err := openHub(svc, cfg, pool, rt)
	if err != nil {
		return err
	}
	v.onChange = hub.Changed
	a := &handler{
		hub: hub, vault: v,
		memory: budget, quota: cfg.quota(), maxBodyMB: cfg.MaxBodyMB, now: rt.Now,
	}
	srv := httpx.New(httpx.Options{
		Name: Name, Log: rt.Log, Metrics: rt.Metrics, Traces: rt.Traces, Identities: identities,
		MaxBody:        quota.LargestBody,
		MaxHeaders:     auth.MaxVaultHeaders,
		RequestTimeout: requestTimeout, ReadTimeout: requestTimeout, Classify: db.Classify,
		LogErrorsOnly: cfg.Service.LogRequests == "errors",
	})
	a.routes(srv)
	v.cleanup(svc, db.NewClock(pool, rt.Now, rt.Log, rt.Metrics))
	svc.Ready("database", db.NewHeartbeat(pool).Check)
	files, err := cfg.TLS.Open(rt.Log)
	if err != nil {
		return err
	}
	if err := svc.ServeTLS(cfg.Addr, srv, files); err != nil {
		return fmt.Errorf("VAULT_ADDR: %w", err)
	}
	return nil
}

// openHub opens the connection to NATS, without which the service works: watchers then see changes of
// other replicas a moment later.
func openHub(svc *service.Service, cfg Config, pool *db.Pool, rt service.Runtime) (*watch.Hub, error) {
	conn, err := bus.Connect(cfg.Bus, Name, rt.Log)
	if err != nil {
		return nil, err
	}
	svc.OnStop("nats", func(context.Context) error { conn.Close(); return nil })
	svc.Note("nats", conn.Ready)
	hub := watch.NewHub(pool, func(data []byte) error { return conn.Announce(watch.Subject, data) }, rt.Log)
	stop, err := conn.Listen(watch.Subject, hub.Announced, hub.Gap)
	if err != nil {
		return nil, err
	}
	svc.OnStop("announcements of changes", func(context.Context) error { stop(); return nil })
	svc.Go("announcements of changes", hub.RunAnnouncements)
	svc.Every("revisions of watched users", watch.PollEvery, hub.Poll)
	return hub, nil
}

func openKeys(cfg Config, pool *db.Pool) (*sealing.Keys, error) {
	kek, err := cfg.keyset()
	if err != nil {
		return nil, err
	}
	return sealing.NewKeys(pool, kek, cfg.KeyCache)
}

// newVault returns a vault without metrics. Batches of reads use a quarter of the connections,
// batches of writes another quarter. The rest serves unbatched writes, which may wait for locks.
func newVault(cfg Config, items *store.Store, keys *sealing.Keys) (*Vault, error) {
	numbers, err := newNumbers()
	if err != nil {
		return nil, err
	}
	quarter := max(1, int(cfg.DB.MaxConns)/4)
	v := &Vault{
		items: items, keys: keys, numbers: numbers, maxItems: cfg.MaxItems, maxVersions: cfg.Versions,
		retention: cfg.TrashRetention,
		reads:     batch.New(quarter, maxBatch, nil, items.ReadBatch),
		unbatched: batch.New(max(1, int(cfg.DB.MaxConns)-2*quarter), 1, (*lockedOp).userOf,
			func(ctx context.Context, batch []*lockedOp) error { return batch[0].run(ctx) }),
	}
	v.writes = batch.New(quarter, maxBatch, (*pendingWrite).UserOf, v.writeBatch)
	return v, nil
}
