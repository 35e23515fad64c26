// Package gateway provides the public HTTP API: it checks and authenticates requests, limits them,
// forwards them to the services with a signed identity, and records those that have a user. It
// holds no data.
//
// Start reading at routeTable, the public API as one table, then at (*gateway).answer, the steps of
// a request in their order.
package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/realmgate/realmgate/gateway/console"
	"github.com/realmgate/realmgate/gateway/internal/edge"
	"github.com/realmgate/realmgate/gateway/internal/identity"
	"github.com/realmgate/realmgate/gateway/internal/journal"
	"github.com/realmgate/realmgate/gateway/internal/memory"
	"github.com/realmgate/realmgate/gateway/internal/streams"
	"github.com/realmgate/realmgate/gateway/internal/upstream"
	"github.com/realmgate/realmgate/gateway/openapi"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/fairsem"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/ratelimit"
	"github.com/realmgate/realmgate/pkg/redisdb"
	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/pkg/trace"
)

// Name is the service's name.
const Name = "gateway"

// gateway has what every request works with.
type gateway struct {
	cfg        Config
	now        func() time.Time
	router     *router
	upstreams  [toActivity + 1]*upstream.Upstream // by target; none for here
	identity   *identity.Service
	cors       edge.CORS
	proxies    *edge.Proxies
	batches    *ratelimit.Batches
	bodyMemory *memory.Budget
	streams    *fairsem.Semaphore // streamed answers, exports among them
	places     *streams.Places    // of event streams
	journal    *journal.Journal
	eventIDs   id.Sequence
	docs       *openapi.Docs
	console    *console.Console // nil: off
	health     health
	traces     *trace.Provider // nil: off
}

// Program describes the binary.
func Program() service.Program[Config] {
	return service.Program[Config]{Name: Name, New: New, Base: func(c *Config) *service.Config { return &c.Service }}
}

// New opens the journal, Redis, NATS and the listener and declares the service; Run serves. It
// needs none of the services to be there.
func New(ctx context.Context, cfg Config, rt service.Runtime) (*service.Service, error) {
	return service.Build(ctx, Name, cfg.Service, rt, func(svc *service.Service) error { return build(ctx, svc, cfg, rt) })
}

func build(ctx context.Context, svc *service.Service, cfg Config, rt service.Runtime) error {
	conns := int64(cfg.Upstreams.MaxConns)
	g := &gateway{
		cfg: cfg, now: rt.Now, traces: rt.Traces, router: newRouter(cfg.routes()), cors: edge.NewCORS(cfg.Edge),
		bodyMemory: memory.New(int64(cfg.Edge.BodyMemoryMB)<<20, cfg.Edge.BodyWait),
		streams:    fairsem.New(max(1, conns/2), max(1, conns/streamShare)),
		places:     streams.NewPlaces(cfg.Streams, rt.Metrics),
	}
	g.health.check, g.health.now = svc.CheckReady, rt.Now
	var err error
	if g.proxies, err = edge.NewProxies(cfg.Edge, rt.Log); err != nil {
		return err
	}
	if cfg.SharedKeys != "" {
		rt.Log.Warn(auth.SharedKeysWarning)
	}
	if g.docs, err = openapi.Load(); err != nil {
		return err
	}
	if cfg.Console == "on" {
		if g.console, err = console.Load(); err != nil {
			return err
		}
	}
	audiences, err := cfg.audiences(rt.Now)
	if err != nil {
		return err
	}
	if err := g.openUpstreams(ctx, svc, rt, audiences); err != nil {
		return err
	}
	conn, err := bus.Connect(cfg.Bus, Name, rt.Log)
	if err != nil {
		return err
	}
	svc.OnStop("nats", func(context.Context) error { conn.Close(); return nil })
	if err := g.openJournal(svc, conn, rt); err != nil {
		return err
	}
	if err := g.openIdentity(svc, conn, rt, audiences); err != nil {
		return err
	}
	server := httpx.New(httpx.Options{
		Name: Name, Log: rt.Log, Metrics: rt.Metrics, Traces: rt.Traces, StreamBody: true, RequestTimeout: -1,
		ReadTimeout: cfg.ReadTimeout, IdleTimeout: cfg.IdleTimeout, BeforeFailure: g.beforeFailure, UnknownMethod: g.handle,
		LogErrorsOnly: cfg.Service.LogRequests == "errors",
	})
	server.Use(g.handle)
	files, err := cfg.TLS.Open(rt.Log)
	if err != nil {
		return err
	}
	if err := svc.ServeTLS(cfg.Addr, server, files); err != nil {
		return fmt.Errorf("GATEWAY_ADDR: %w", err)
	}
	return nil
}

// openUpstreams opens the connections to the services, whose names are looked up once before the
// first request, and then again and again.
func (g *gateway) openUpstreams(ctx context.Context, svc *service.Service, rt service.Runtime,
	audiences []identity.Audience) error {
	metrics, c := upstream.NewMetrics(rt.Metrics), g.cfg.Upstreams
	for t, url := range map[target]string{toUsers: c.Users, toVault: c.Vault, toActivity: c.Activity} {
		to := audiences[t.audience()]
		sign := func() (string, error) { return to.Keys.Sign(auth.Identity{Kind: auth.System}, to.Name) }
		u, err := upstream.New(to.Name, url, c, sign, rt.Traces, rt.Log, metrics)
		if err != nil {
			return fmt.Errorf("URL of %s: %w", to.Name, err)
		}
		if err := u.Resolve(ctx); err != nil {
			rt.Log.Warn("the name of a service cannot be looked up yet", "upstream", to.Name, "error", err.Error())
		}
		g.upstreams[t] = u
		svc.Go("resolve "+to.Name, u.Run)
	}
	return nil
}

func (g *gateway) openJournal(svc *service.Service, conn *bus.Conn, rt service.Runtime) error {
	var err error
	if g.journal, err = journal.Open(g.cfg.Journal, rt.Log, rt.Metrics); err != nil {
		return err
	}
	svc.OnStop("journal", func(context.Context) error { return g.journal.Close() })
	destination := journal.NewDestination(g.fetchInstallation, rt.Log)
	svc.Go("destination of events", destination.Run)
	svc.Go("shipper", journal.NewShipper(g.journal, conn, destination.Subject, rt.Log).Run)
	return nil
}

// openIdentity opens the authentication of requests, and their limits.
func (g *gateway) openIdentity(svc *service.Service, conn *bus.Conn, rt service.Runtime,
	audiences []identity.Audience) error {
	rdb, err := redisdb.Open(g.cfg.Redis)
	if err != nil {
		return err
	}
	svc.OnStop("redis", func(context.Context) error { return rdb.Close() })
	limiter, err := ratelimit.New(rdb,
		func(err error) { rt.Log.Warn("this gateway limits by itself: Redis", "error", err.Error()) })
	if err != nil {
		return err
	}
	g.batches = ratelimit.NewBatches(limiter, rt.Now)
	g.identity, err = identity.Open(g.cfg.Identity, identity.Deps{
		Keys: g.fetchKeys, State: g.fetchState, ReportUse: g.reportTokenUse,
		Cache: sessionstate.NewCache(rdb, audiences[toUsers.audience()].Keys), Audiences: audiences,
		CredentialRate: g.cfg.Limits.Address, Log: rt.Log, Metrics: rt.Metrics, Now: rt.Now,
	})
	if err != nil {
		return err
	}
	stopListening, err := listenToChanges(conn, g.identity)
	if err != nil {
		return err
	}
	svc.Go("public keys", g.identity.RunKeys)
	svc.OnStop("caches", func(context.Context) error {
		stopListening()
		g.identity.Close()
		g.batches.Close()
		return nil
	})
	svc.Go("token use", g.identity.RunTokenUse)
	svc.Go("credentials of streams", g.identity.RunWatches)
	svc.Ready("public keys", g.identity.Ready)
	return nil
}

// listenToChanges passes announcements of session changes on until stop is called.
func listenToChanges(conn *bus.Conn, to *identity.Service) (stop func(), err error) {
	stopUnsealed, err := conn.Listen(sessionstate.Subject, to.ChangedUnsealed, nil)
	if err != nil {
		return nil, err
	}
	stopSealed, err := conn.Listen(sessionstate.SealedSubject, to.Changed, to.Gap)
	if err != nil {
		stopUnsealed()
		return nil, err
	}
	return func() { stopSealed(); stopUnsealed() }, nil
}
