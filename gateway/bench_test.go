package gateway

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/gateway/internal/identity"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/ratelimit"
	"github.com/realmgate/realmgate/pkg/service"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// benchService answers like a service, at no cost worth mentioning.
func benchService(b *testing.B) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	body := []byte(`{"statusCode":200,"message":"Vault key retrieved successfully","data":{"key":"k","realm_id":"","value":"v","metadata":null,"size_bytes":1}}`)
	srv := &fasthttp.Server{Handler: func(c *fasthttp.RequestCtx) {
		c.Response.Header.SetContentType("application/json")
		c.Response.SetBodyRaw(body)
	}}
	go func() { _ = srv.Serve(ln) }()
	b.Cleanup(func() { _ = srv.Shutdown() })
	return ln.Addr().String()
}

// hammer sends GET /api/v1/vault/keys from several connections and counts allocations of the whole
// process, the client's included.
func hammer(b *testing.B, addr, token string) {
	client := &fasthttp.HostClient{Addr: addr, MaxConns: 256}
	b.ReportAllocs()
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
		defer fasthttp.ReleaseRequest(req)
		defer fasthttp.ReleaseResponse(resp)
		req.SetRequestURI("http://" + addr + "/api/v1/vault/keys")
		req.Header.Set("Authorization", "Bearer "+token)
		for pb.Next() {
			if err := client.Do(req, resp); err != nil || resp.StatusCode() != 200 {
				b.Error(resp.StatusCode(), err)
				return
			}
		}
	})
}

// BenchmarkProxiedEverything is a request with its JWT, session state, limit, identity and recorded
// event.
func BenchmarkProxiedEverything(b *testing.B) {
	addr := benchService(b)
	d := startGateway(b, func(c *Config) {
		c.Upstreams.Vault, c.Service.LogRequests, c.Limits.User = "http://"+addr, "errors",
			ratelimit.Rate{Count: 100_000_000, Period: time.Minute}
	})
	d.listen()
	hammer(b, d.addr, d.users.signIn(b).token)
	b.StopTimer()
	b.ReportMetric(d.value("events_dropped_total"), "dropped")
}

// BenchmarkProxiedBare is the same server and the same forwarding with nothing else.
func BenchmarkProxiedBare(b *testing.B) {
	addr := benchService(b)
	d := startGateway(b, func(c *Config) { c.Upstreams.Vault = "http://" + addr })
	g := bareGateway(b, d.cfg)
	rt := g.router.find([]byte("/api/v1/vault/keys")).byMethod["GET"]
	principal, err := identity.NewPrincipal(sessionstate.State{UserID: "u"})
	if err != nil {
		b.Fatal(err)
	}
	server := httpx.New(httpx.Options{Name: Name, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
		RequestTimeout: -1, LogErrorsOnly: true})
	server.Use(func(c *fiber.Ctx) error { return g.forward(c, &exchange{route: rt, principal: principal}) })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = server.Serve(ln) }()
	b.Cleanup(func() { _ = server.Stop(context.Background()) })
	hammer(b, ln.Addr().String(), "x")
}

// bareGateway is as much of a gateway as forwarding needs.
func bareGateway(b *testing.B, cfg Config) *gateway {
	g := &gateway{cfg: cfg, now: time.Now, router: newRouter(routeTable())}
	svc, err := service.New(Name, cfg.Service,
		service.Runtime{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	rt := service.Runtime{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Now: time.Now}
	audiences, err := cfg.audiences(rt.Now)
	if err == nil {
		err = g.openUpstreams(b.Context(), svc, rt, audiences)
	}
	if err == nil {
		g.identity, err = identity.Open(cfg.Identity,
			identity.Deps{Audiences: audiences, Log: rt.Log, Metrics: rt.Metrics, Now: rt.Now})
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(g.identity.Close)
	b.Cleanup(func() { _ = svc.Close(context.Background()) })
	return g
}
