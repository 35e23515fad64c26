package upstream

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/realmgate/realmgate/pkg/testkit"
)

// TestReplicasComeAndGoWithTheName scales a service out and in again under load, by what its name
// stands for.
func TestReplicasComeAndGoWithTheName(t *testing.T) {
	t.Parallel()
	one := startReplica(t, "127.0.0.1:0", nil)
	_, port, _ := net.SplitHostPort(one.addr)
	two, three := startReplica(t, "127.0.0.2:"+port, nil), startReplica(t, "127.0.0.3:"+port, nil)
	m := NewMetrics(prometheus.NewRegistry())
	u, err := New("vault-svc", "http://vault.test:"+port, Config{
		Timeout: 5 * time.Second, MaxConns: 64, MaxInFlight: 64, QueueWait: time.Second, ResolveEvery: 5 * time.Millisecond,
	}, noIdentity, nil, testkit.Log(t), m)
	if err != nil {
		t.Fatal(err)
	}
	var stands atomic.Pointer[[]netip.Addr] // nil: the resolver is away
	u.lookup = func(_ context.Context, network, host string) ([]netip.Addr, error) {
		if network != "ip" || host != "vault.test" {
			t.Error(network, host)
		}
		if now := stands.Load(); now != nil {
			return *now, nil
		}
		return nil, errors.New("the resolver is away")
	}
	name := func(addrs ...string) {
		var all []netip.Addr
		for _, a := range addrs {
			all = append(all, netip.MustParseAddr(a))
		}
		stands.Store(&all)
	}
	name("127.0.0.1")
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { _ = u.Run(ctx) })
	lookedUp(t, u)
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				if status, err := send(u, "POST"); err != nil || status != 200 {
					t.Errorf("a request failed: %d %v", status, err)
					return
				}
			}
		})
	}
	t.Cleanup(func() { stop(); all.Wait() })
	serves(t, "the only replica is asked", []*replicaServer{one}, []*replicaServer{two, three})
	name("127.0.0.1", "127.0.0.2", "127.0.0.3")
	serves(t, "new replicas are asked", []*replicaServer{one, two, three}, nil)
	name("127.0.0.2", "127.0.0.3")
	serves(t, "who has left the name is asked no more", []*replicaServer{two, three}, []*replicaServer{one})
	_ = one.srv.Close() // and may end
	stands.Store(nil)
	serves(t, "the last addresses serve while the resolver is away", []*replicaServer{two, three}, nil)
	name("127.0.0.3")
	serves(t, "one is left", []*replicaServer{three}, []*replicaServer{two})
	if n := testutil.ToFloat64(m.addresses.WithLabelValues("vault-svc")); n != 1 {
		t.Errorf("%v addresses are counted, want 1", n)
	}
}

// TestABreakerOfAnAddressThatLeftIsNotCounted: requests were under way there when it left, and fail
// afterwards.
func TestABreakerOfAnAddressThatLeftIsNotCounted(t *testing.T) {
	t.Parallel()
	var arrived sync.WaitGroup
	arrived.Add(breakerFailures)
	release := make(chan struct{})
	one := startReplica(t, "127.0.0.1:0", func(w http.ResponseWriter, _ *http.Request) {
		arrived.Done()
		<-release
		conn, _, _ := w.(http.Hijacker).Hijack()
		_ = conn.Close()
	})
	_, port, _ := net.SplitHostPort(one.addr)
	reg := prometheus.NewRegistry()
	u, err := New("vault-svc", "http://vault.test:"+port,
		Config{Timeout: 5 * time.Second, MaxConns: 64, MaxInFlight: 64, QueueWait: time.Second},
		noIdentity, nil, testkit.Log(t), NewMetrics(reg))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.close)
	stands := "127.0.0.1"
	u.lookup = func(context.Context, string, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr(stands)}, nil
	}
	moves := func(to string) {
		stands = to
		if err := u.Resolve(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	open := func() float64 { return openBreakers(t, reg) }
	moves("127.0.0.1")
	var all sync.WaitGroup
	for range breakerFailures {
		all.Go(func() { _, _ = send(u, "POST") })
	}
	arrived.Wait()
	moves("127.0.0.2")
	close(release)
	all.Wait()
	if n := open(); n != 0 {
		t.Errorf("%v breakers are open, though none of the only address", n)
	}
	moves("127.0.0.1") // again: as a new address
	if n := open(); n != 0 {
		t.Errorf("%v breakers are open, though nothing was asked", n)
	}
	_ = one.srv.Close()
	for range breakerFailures {
		_, _ = send(u, "POST")
	}
	if n := open(); n != 1 {
		t.Errorf("%v breakers are open, want that of the address that refuses connections", n)
	}
}

// openBreakers reads the metric of the only upstream.
func openBreakers(t *testing.T, reg *prometheus.Registry) (n float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "upstream_breakers_open" {
			n += f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return n
}

// lookedUp waits until the name has been looked up.
func lookedUp(t *testing.T, u *Upstream) {
	t.Helper()
	for end := time.Now().Add(testkit.Patience); len(*u.replicas.Load()) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the name was never looked up")
		}
	}
}

// serves waits until requests reach every one of yes and none of no.
func serves(t *testing.T, what string, yes, no []*replicaServer) {
	t.Helper()
	for end := time.Now().Add(testkit.Patience); ; time.Sleep(20 * time.Millisecond) {
		before := map[*replicaServer]int64{}
		for _, r := range slices.Concat(yes, no) {
			before[r] = r.hits.Load()
		}
		time.Sleep(50 * time.Millisecond)
		ok := true
		for _, r := range yes {
			ok = ok && r.hits.Load() > before[r]
		}
		for _, r := range no {
			ok = ok && r.hits.Load() == before[r]
		}
		if ok {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within 20 seconds: %s", what)
		}
	}
}
