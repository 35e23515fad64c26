// Package gateway owns the public door: it decides which requests are well formed, who sends them
// and whether they may pass, forwards them to the services with a signed identity, and records each
// one that a user can be made answerable for. It owns no data.
//
// Start reading at routeTable, the public API as one table, then at (*gateway).answer, the stations
// of a request in their order.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/realmgate/realmgate/gateway/internal/journal"
	"github.com/realmgate/realmgate/gateway/internal/upstream"
	"github.com/realmgate/realmgate/gateway/openapi"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/fairsem"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/pkg/netaddr"
	"github.com/realmgate/realmgate/pkg/ratelimit"
	"github.com/realmgate/realmgate/pkg/redisdb"
	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/pkg/trace"
)

// Name is the service's name.
const Name = "gateway"

// gateway is what every request works with.
type gateway struct {
	cfg             Config
	log             *slog.Logger
	now             func() time.Time
	router          *router
	upstreams       [toActivity + 1]*upstream.Upstream // by target; none for here
	keys            map[target]*auth.InternalKeys
	auth            *authenticator
	cors            cors
	trusted         []netip.Prefix
	untrusted       sync.Once // warns of a proxy that is not trusted
	batches         *ratelimit.Batches
	bodies          *fairsem.Semaphore // bytes of users' bodies of up to smallBody
	largeBodies     *fairsem.Semaphore // bytes of their larger bodies
	smallBody       int
	anonymousBodies *fairsem.Semaphore // bytes of the larger bodies of everybody else
	streams         *fairsem.Semaphore // answers that pass through
	used            *lastUsed
	anonymous       anonymous
	journal         *journal.Journal
	events          id.Sequence // names them
	docs            *openapi.Docs
	health          health
	traces          *trace.Provider // nil: off
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
	memory, conns := int64(cfg.Edge.BodyMemoryMB)<<20, int64(cfg.Upstreams.MaxConns)
	small := memory / smallPart
	g := &gateway{
		cfg: cfg, log: rt.Log, now: rt.Now, traces: rt.Traces, router: newRouter(routeTable()), cors: newCORS(cfg.Edge),
		bodies: fairsem.New(small, small/usersOfSmall), smallBody: int(small / usersOfSmall),
		largeBodies:     fairsem.New(memory-small, 1),
		anonymousBodies: fairsem.New(anonymousMemory, anonymousMemory/partOfAnonymous),
		streams:         fairsem.New(max(1, conns/2), max(1, conns/partOfConns)),
	}
	g.health.check, g.health.now = svc.CheckReady, rt.Now
	var err error
	if g.trusted, err = netaddr.ParsePrefixes(cfg.Edge.TrustedProxies); err != nil {
		return fmt.Errorf("TRUSTED_PROXIES: %w", err)
	}
	if cfg.SharedKeys != "" {
		rt.Log.Warn(auth.SharedKeysWarning)
	}
	if g.docs, err = openapi.Load(); err != nil {
		return err
	}
	if err := g.openUpstreams(ctx, svc, rt); err != nil {
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
	if err := g.openIdentity(svc, conn, rt); err != nil {
		return err
	}
	server := httpx.New(httpx.Options{
		Name: Name, Log: rt.Log, Metrics: rt.Metrics, Traces: rt.Traces, StreamBody: true, RequestTimeout: -1,
		ReadTimeout: cfg.ReadTimeout, IdleTimeout: cfg.IdleTimeout, BeforeFailure: g.failed, UnknownMethod: g.serve,
		LogErrorsOnly: cfg.Service.LogRequests == "errors",
	})
	server.Use(g.serve)
	files, err := cfg.TLS.Open(rt.Log)
	if err != nil {
		return err
	}
	if err := svc.ServeTLS(cfg.Addr, server, files); err != nil {
		return fmt.Errorf("GATEWAY_ADDR: %w", err)
	}
	return nil
}

// openUpstreams looks the services' names up once, so that the first request finds them, and then
// again and again.
func (g *gateway) openUpstreams(ctx context.Context, svc *service.Service, rt service.Runtime) error {
	metrics := upstream.NewMetrics(rt.Metrics)
	var err error
	if g.keys, err = g.cfg.internalKeys(rt.Now); err != nil {
		return err
	}
	c := g.cfg.Upstreams
	for t, at := range map[target]struct{ name, url string }{
		toUsers: {"users-svc", c.Users}, toVault: {"vault-svc", c.Vault}, toActivity: {"activity-svc", c.Activity},
	} {
		sign := func() (string, error) { return g.keys[t].Sign(auth.Identity{Kind: auth.System}, at.name) }
		u, err := upstream.New(at.name, at.url, c, sign, rt.Traces, rt.Log, metrics)
		if err != nil {
			return fmt.Errorf("URL of %s: %w", at.name, err)
		}
		if err := u.Resolve(ctx); err != nil {
			rt.Log.Warn("the name of a service cannot be looked up yet", "upstream", at.name, "error", err.Error())
		}
		g.upstreams[t] = u
		svc.Go("resolve "+at.name, u.Run)
	}
	return nil
}

func (g *gateway) openJournal(svc *service.Service, conn *bus.Conn, rt service.Runtime) error {
	var err error
	if g.journal, err = journal.Open(g.cfg.Journal, rt.Log, rt.Metrics); err != nil {
		return err
	}
	svc.OnStop("journal", func(context.Context) error { return g.journal.Close() })
	to := &destination{ask: g.askInstallation, log: rt.Log}
	svc.Go("destination of events", to.run)
	svc.Go("shipper", journal.NewShipper(g.journal, conn, to.get, rt.Log).Run)
	return nil
}

// openIdentity opens what is needed to know who sends a request and how often.
func (g *gateway) openIdentity(svc *service.Service, conn *bus.Conn, rt service.Runtime) error {
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
	g.anonymous = newAnonymous()
	st := newStates(g.cfg.SessionTTL, sessionstate.NewCache(rdb, g.keys[toUsers]), rt.Log,
		newIdentityMetrics(rt.Metrics), g.askState)
	stop, err := listenToChanges(conn, st)
	if err != nil {
		return err
	}
	keys := newKeySet(rt.Log, g.fetchKeys)
	guesses, err := newGuesses(g.cfg.Limits.Address)
	if err != nil {
		return err
	}
	g.auth = newAuthenticator(g.cfg, keys, st, guesses, rt.Now)
	svc.Go("public keys", keys.run)
	g.used = newLastUsed(rt.Log, func(ctx context.Context, tokenID string, body []byte) error {
		return g.upstreams[toUsers].Ask(ctx, "POST", internalapi.TokensPath+tokenID+internalapi.TokenUsedSuffix, body, nil)
	})
	svc.OnStop("caches", func(context.Context) error {
		stop() // no more announcements
		st.close()
		g.auth.verified.StopAllGoroutines()
		g.batches.Close()
		g.anonymous.headers.StopAllGoroutines()
		g.used.recent.StopAllGoroutines()
		return nil
	})
	svc.Go("token use", g.used.run)
	svc.Ready("public keys", func(context.Context) error {
		if keys.current.Load() == nil {
			return errNoKeys
		}
		return nil
	})
	return nil
}

// listenToChanges hears of changed sessions until stop is called.
func listenToChanges(conn *bus.Conn, st *states) (stop func(), err error) {
	stopOld, err := conn.Listen(sessionstate.Subject, st.changedBefore, nil)
	if err != nil {
		return nil, err
	}
	stopNew, err := conn.Listen(sessionstate.SealedSubject, st.changed, st.gap)
	if err != nil {
		stopOld()
		return nil, err
	}
	return func() { stopNew(); stopOld() }, nil
}

// fetchKeys asks users-svc for its public keys; one of the previous release only has the public
// route.
func (g *gateway) fetchKeys(ctx context.Context) (auth.Published, error) {
	var set auth.Published
	err := g.upstreams[toUsers].Ask(ctx, "GET", internalapi.KeysPath, nil, &set)
	if errors.Is(err, upstream.ErrNotFound) {
		err = g.upstreams[toUsers].Ask(ctx, "GET", "/.well-known/jwks.json", nil, &set)
	}
	return set, err
}
