package upstream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/listen"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// names is a resolver that knows one name, whose addresses change.
type names struct {
	addrs   atomic.Pointer[[]netip.Addr] // nil: it does not answer
	lookups atomic.Int64
}

func (n *names) set(addrs ...string) {
	var all []netip.Addr
	for _, a := range addrs {
		all = append(all, netip.MustParseAddr(a))
	}
	n.addrs.Store(&all)
}

func (n *names) lookup(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	n.lookups.Add(1)
	if now := n.addrs.Load(); now != nil {
		return *now, nil
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// named makes an upstream whose name is looked up once and then, as far as the clock is concerned,
// never again.
func named(t *testing.T, n *names, port string) *Upstream {
	t.Helper()
	u, err := New("vault-svc", "http://vault.test:"+port, Config{
		Timeout: 20 * time.Second, MaxConns: 64, MaxInFlight: 64, QueueWait: time.Second, ResolveEvery: 24 * time.Hour,
	}, noIdentity, nil, testkit.Log(t), NewMetrics(prometheus.NewRegistry()))
	if err != nil {
		t.Fatal(err)
	}
	u.lookup = n.lookup
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { _ = u.Run(ctx) })
	t.Cleanup(func() { stop(); done.Wait() })
	if n.addrs.Load() != nil {
		lookedUp(t, u)
	}
	return u
}

// gracefulReplica is a replica that ends as every service does.
type gracefulReplica struct {
	addr string
	hits atomic.Int64
	stop func()
}

func startGraceful(t *testing.T, addr string) *gracefulReplica {
	t.Helper()
	ln, err := listen.TCP(addr)
	if err != nil {
		t.Fatal(err)
	}
	r, srv := &gracefulReplica{addr: ln.Addr().String()},
		httpx.New(httpx.Options{Name: "vault-svc", Log: testkit.Log(t), Metrics: prometheus.NewRegistry()})
	srv.All("/x", func(c *fiber.Ctx) error {
		r.hits.Add(1)
		return httpx.OK(c, "ok", nil)
	})
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			if err := errors.Join(srv.Stop(context.Background()), <-served); err != nil {
				t.Errorf("stop %s: %v", r.addr, err)
			}
		})
	}
	t.Cleanup(r.stop)
	return r
}

// TestARollingReplacementLosesNoRequest replaces the replicas of a service one after the other, as
// an update does: the successor answers before the old one stops. Whatever the clock says, the name
// is looked up when no address is left.
func TestARollingReplacementLosesNoRequest(t *testing.T) {
	t.Parallel()
	for name, replicas := range map[string]int{"one replica": 1, "two replicas": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := startGraceful(t, "127.0.0.1:0")
			_, port, _ := net.SplitHostPort(first.addr)
			serving, n := []*gracefulReplica{first}, &names{}
			addrs := []string{"127.0.0.1"}
			next := func() string {
				host := netip.AddrFrom4([4]byte{127, 0, 0, byte(len(addrs) + 1)}).String()
				addrs = append(addrs, host)
				return host
			}
			for len(serving) < replicas {
				serving = append(serving, startGraceful(t, next()+":"+port))
			}
			n.set(addrs...)
			u := named(t, n, port)
			var sent atomic.Int64
			var load sync.WaitGroup
			ctx, stop := context.WithCancel(t.Context())
			for range 4 {
				load.Go(func() {
					for ctx.Err() == nil {
						if status, err := send(u, "POST"); err != nil || status != 200 {
							t.Errorf("a request failed: %d %v", status, err)
						}
						sent.Add(1)
					}
				})
			}
			for round := range 3 * replicas {
				old, before := serving[0], sent.Load()
				successor := startGraceful(t, next()+":"+port)
				serving = append(serving[1:], successor)
				n.set(addrs[len(addrs)-replicas-1:]...)
				old.stop()
				n.set(addrs[len(addrs)-replicas:]...)
				for end := time.Now().Add(20 * time.Second); sent.Load() < before+50; time.Sleep(time.Millisecond) {
					if time.Now().After(end) {
						t.Fatalf("replacement %d: no requests any more", round)
					}
				}
			}
			stop()
			load.Wait()
			if serving[replicas-1].hits.Load() == 0 && replicas == 1 {
				t.Error("the last successor was never asked")
			}
		})
	}
}

// TestARequestFindsAServiceThatJustCame: there was no address when the gateway started.
func TestARequestFindsAServiceThatJustCame(t *testing.T) {
	t.Parallel()
	n := &names{}
	n.set()
	one := startReplica(t, "127.0.0.1:0", nil)
	_, port, _ := net.SplitHostPort(one.addr)
	u, err := New("vault-svc", "http://vault.test:"+port,
		Config{Timeout: 20 * time.Second, MaxConns: 8, MaxInFlight: 8}, noIdentity, nil, testkit.Log(t),
		NewMetrics(prometheus.NewRegistry()))
	if err != nil {
		t.Fatal(err)
	}
	u.lookup = n.lookup
	t.Cleanup(u.close)
	if _, err := send(u, "POST"); !errors.Is(err, errNoReplica) {
		t.Fatalf("without an address: %v", err)
	}
	n.set("127.0.0.1")
	if status, err := send(u, "POST"); err != nil || status != 200 {
		t.Errorf("just after it came: %d %v", status, err)
	}
}

// TestAServiceThatIsAwayIsLookedUpRarely, however many requests fail, and also when the resolver
// does not answer.
func TestAServiceThatIsAwayIsLookedUpRarely(t *testing.T) {
	t.Parallel()
	for name, known := range map[string][]string{"refuses connections": {"127.0.0.1"}, "has no address": {},
		"the resolver is away": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := &names{}
			if known != nil {
				n.set(known...)
			}
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			_, port, _ := net.SplitHostPort(ln.Addr().String())
			_ = ln.Close()
			u := dial(t, 20*time.Second)
			u.host, u.port, u.lookup = "vault.test", port, n.lookup
			start := time.Now()
			var all sync.WaitGroup
			const requests = 50
			for range requests {
				all.Go(func() {
					if _, err := send(u, "POST"); !unreachable(err) {
						t.Errorf("got %v", err)
					}
				})
			}
			all.Wait()
			if most := int64(time.Since(start)/resolveAgainPause) + 2; n.lookups.Load() > most || n.lookups.Load() == 0 {
				t.Errorf("%d requests made %d look-ups in %s, want at most %d", requests, n.lookups.Load(), time.Since(start), most)
			}
		})
	}
}

// TestAnAddressThatEndsIsAvoided holds that one answer with "Connection: close" is enough: requests
// go to the other address, and the name is looked up for a successor.
func TestAnAddressThatEndsIsAvoided(t *testing.T) {
	t.Parallel()
	old := startGraceful(t, "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(old.addr)
	other, successor := startGraceful(t, "127.0.0.2:"+port), startGraceful(t, "127.0.0.3:"+port)
	n := &names{}
	n.set("127.0.0.1", "127.0.0.2")
	u := named(t, n, port)
	n.set("127.0.0.1", "127.0.0.2", "127.0.0.3")
	for _, r := range *u.replicas.Load() {
		if r.addr == old.addr {
			u.avoid(r)
			r.draining.Begin(time.Hour)
		}
	}
	for end := time.Now().Add(testkit.Patience); successor.hits.Load() == 0 && time.Now().Before(end); {
		if status, err := send(u, "POST"); err != nil || status != 200 {
			t.Fatalf("got %d %v", status, err)
		}
	}
	if successor.hits.Load() == 0 || other.hits.Load() == 0 || old.hits.Load() != 0 {
		t.Errorf("the one that ends got %d, the other %d, the successor %d", old.hits.Load(), other.hits.Load(),
			successor.hits.Load())
	}
}
