package upstream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/pkg/testkit"
	"github.com/realmgate/realmgate/pkg/tlsfiles"
)

// replicaServer is one address of a service, on a loopback address and port of the test's choice.
type replicaServer struct {
	addr string
	srv  *http.Server
	hits atomic.Int64
}

func startReplica(t *testing.T, addr string, handle http.HandlerFunc) *replicaServer {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	r := &replicaServer{addr: ln.Addr().String()}
	r.srv = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.hits.Add(1)
		_, _ = io.Copy(io.Discard, q.Body)
		if handle != nil {
			handle(w, q)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"ok":true}`)
	})}
	go func() { _ = r.srv.Serve(ln) }()
	t.Cleanup(func() { _ = r.srv.Close() })
	return r
}

// dial makes an upstream of the given addresses.
func dial(t *testing.T, timeout time.Duration, addrs ...string) *Upstream {
	t.Helper()
	u, err := New("vault-svc", "http://unused:1",
		Config{Timeout: timeout, MaxConns: 64, MaxInFlight: 64, QueueWait: 100 * time.Millisecond},
		noIdentity, nil, testkit.Log(t), NewMetrics(prometheus.NewRegistry()))
	if err != nil {
		t.Fatal(err)
	}
	var all []*replica
	for _, a := range addrs {
		all = append(all, u.newReplica(a))
	}
	u.replicas.Store(&all)
	u.lookup = func(context.Context, string, string) ([]netip.Addr, error) { return nil, errors.New("no resolver") }
	t.Cleanup(u.close)
	return u
}

// noIdentity stands for the signature of identities, which these services do not verify.
func noIdentity() (string, error) { return "unsigned", nil }

func send(u *Upstream, method string) (int, error) {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.Header.SetMethod(method)
	req.Header.SetRequestURI("/x")
	req.Header.SetHost("h")
	req.UseHostHeader = true
	if method == "POST" {
		req.SetBodyString("{}")
	}
	err := u.Send(context.Background(), req, resp, Call{})
	return resp.StatusCode(), err
}

func TestLoadIsSpreadOverEveryAddress(t *testing.T) {
	t.Parallel()
	a, b, c := startReplica(t, "127.0.0.1:0", nil), startReplica(t, "127.0.0.1:0", nil),
		startReplica(t, "127.0.0.1:0", nil)
	u := dial(t, testkit.Patience, a.addr, b.addr, c.addr)
	for range 300 {
		if status, err := send(u, "POST"); err != nil || status != 200 {
			t.Fatal(status, err)
		}
	}
	for _, r := range []*replicaServer{a, b, c} {
		if n := r.hits.Load(); n < 50 {
			t.Errorf("%s got %d of 300", r.addr, n)
		}
	}
}

func TestARequestThatWasNotDeliveredGoesElsewhere(t *testing.T) {
	t.Parallel()
	dead := testkit.FreeAddr(t) // nobody listens there
	alive := startReplica(t, "127.0.0.1:0", nil)
	u := dial(t, testkit.Patience, dead, alive.addr)
	for range 50 {
		if status, err := send(u, "POST"); err != nil || status != 200 {
			t.Fatal(status, err)
		}
	}
	if n := alive.hits.Load(); n != 50 {
		t.Errorf("delivered %d times, want 50", n)
	}
}

func TestAServiceThatRestartsBetweenRequestsLosesNone(t *testing.T) {
	t.Parallel()
	r := startReplica(t, "127.0.0.1:0", nil)
	u := dial(t, testkit.Patience, r.addr)
	var hits int64
	for i := range 20 {
		var wait sync.WaitGroup
		for range 5 {
			wait.Go(func() {
				if status, err := send(u, "POST"); err != nil || status != 200 {
					t.Errorf("after restart %d: %d %v", i, status, err)
				}
			})
		}
		wait.Wait()
		hits += r.hits.Load()
		_ = r.srv.Close() // closes the kept connections
		r = startReplica(t, r.addr, nil)
		time.Sleep(5 * time.Millisecond)
	}
	if hits != 100 {
		t.Errorf("delivered %d times, want 100", hits)
	}
}

// TestAReadSurvivesTheRestartOfEveryAddress: it is sent again but once, and not on one more
// connection that has ended.
func TestAReadSurvivesTheRestartOfEveryAddress(t *testing.T) {
	t.Parallel()
	all := []*replicaServer{startReplica(t, "127.0.0.1:0", nil), startReplica(t, "127.0.0.1:0", nil),
		startReplica(t, "127.0.0.1:0", nil)}
	u := dial(t, testkit.Patience, all[0].addr, all[1].addr, all[2].addr)
	for i := range 20 {
		for range 20 { // every address has a kept connection
			if status, err := send(u, "GET"); err != nil || status != 200 {
				t.Fatalf("after restart %d: %d %v", i, status, err)
			}
		}
		for k, r := range all {
			_ = r.srv.Close()
			all[k] = startReplica(t, r.addr, nil)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestWhatMayHaveArrivedIsNotSentAgain: the service takes the request and closes without an answer.
// What changes nothing is sent again once.
func TestWhatMayHaveArrivedIsNotSentAgain(t *testing.T) {
	t.Parallel()
	var taken atomic.Int64
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					taken.Add(1)
				}
			}()
		}
	}()
	for method, want := range map[string]int64{"POST": 1, "DELETE": 1, "PUT": 1, "PATCH": 1, "GET": 2, "HEAD": 2} {
		taken.Store(0)
		u := dial(t, testkit.Patience, ln.Addr().String())
		if status, err := send(u, method); err == nil {
			t.Errorf("%s: answered %d", method, status)
		}
		if got := taken.Load(); got != want {
			t.Errorf("%s was sent %d times, want %d", method, got, want)
		}
	}
}

func TestABreakerOpensAndClosesAgain(t *testing.T) {
	t.Parallel()
	addr := testkit.FreeAddr(t)
	u := dial(t, testkit.Patience, addr)
	for range breakerFailures {
		if _, err := send(u, "POST"); err == nil {
			t.Fatal("answered by nobody")
		}
	}
	if r, _ := u.choose(nil); r != nil {
		t.Error("the address is still asked")
	}
	startReplica(t, addr, nil)
	deadline := time.Now().Add(testkit.Patience)
	for {
		if status, err := send(u, "POST"); err == nil && status == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the breaker does not close")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestASlowServiceIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	r := startReplica(t, "127.0.0.1:0", func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	u := dial(t, time.Second, r.addr)
	if _, err := send(u, "GET"); err == nil {
		t.Error("answered")
	}
	if n := r.hits.Load(); n > 1 {
		t.Errorf("sent %d times", n)
	}
}

func TestAConnectionIsWaitedForOnce(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}, 2), make(chan struct{})
	defer close(release)
	wait := func(http.ResponseWriter, *http.Request) { arrived <- struct{}{}; <-release }
	u := dial(t, testkit.Patience)
	u.cfg.MaxConns, u.cfg.QueueWait = 1, 500*time.Millisecond
	var all []*replica
	for range 2 {
		all = append(all, u.newReplica(startReplica(t, "127.0.0.1:0", wait).addr))
	}
	u.replicas.Store(&all)
	for range 2 {
		go func() { _, _ = send(u, "GET") }()
		<-arrived
	}
	for _, method := range []string{"GET", "POST"} {
		if _, err := send(u, method); !errors.Is(err, fasthttp.ErrNoFreeConns) {
			t.Errorf("%s: %v", method, err)
		}
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(u.metrics.retries)
	families, err := reg.Gather()
	if err != nil || families[0].GetMetric()[0].GetCounter().GetValue() != 0 {
		t.Errorf("who waited for one address waits for another: %v, %v", families, err)
	}
}

func TestNamesAreLookedUpAgain(t *testing.T) {
	t.Parallel()
	r := startReplica(t, "127.0.0.1:0", nil)
	_, port, _ := net.SplitHostPort(r.addr)
	u, err := New("vault-svc", "http://localhost:"+port,
		Config{Timeout: time.Second, MaxConns: 8, MaxInFlight: 8, ResolveEvery: time.Second}, noIdentity, nil,
		testkit.Log(t),
		NewMetrics(prometheus.NewRegistry()))
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Resolve(context.Background()); err != nil {
		t.Fatal(err)
	}
	first := *u.replicas.Load()
	if err := u.Resolve(context.Background()); err != nil {
		t.Fatal(err)
	}
	for i, again := range *u.replicas.Load() {
		if again != first[i] {
			t.Error("an address that stayed lost its connections")
		}
	}
	if status, err := send(u, "GET"); err != nil || status != 200 {
		t.Error(status, err)
	}
	u.host = "no-such-name.invalid"
	if err := u.Resolve(context.Background()); err == nil {
		t.Error("a name that does not exist was found")
	}
	if len(*u.replicas.Load()) != len(first) {
		t.Error("the last addresses were forgotten")
	}
	u.close()
}

func TestAServiceWithAnotherCertificateIsNotAsked(t *testing.T) {
	t.Parallel()
	ours, theirs := testkit.NewAuthority(t), testkit.NewAuthority(t)
	cert, key := ours.Issue("gateway", 7)
	var seen atomic.Int64
	impostor := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen.Add(1) }))
	itsCert, itsKey := theirs.Issue("service", 100)
	files, err := tlsfiles.Open(itsCert, itsKey, theirs.File, testkit.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	impostor.Listener = files.Listener(impostor.Listener)
	impostor.Start()
	defer impostor.Close()
	u, err := New("vault-svc", strings.Replace(impostor.URL, "http://", "https://", 1), Config{
		TLS: tlsfiles.Internal{Cert: cert, Key: key, CA: ours.File}, Timeout: time.Second, MaxConns: 4, MaxInFlight: 4,
		QueueWait: time.Second,
	}, noIdentity, nil, testkit.Log(t), NewMetrics(prometheus.NewRegistry()))
	if err != nil {
		t.Fatal(err)
	}
	defer u.close()
	all := []*replica{u.newReplica(impostor.Listener.Addr().String())}
	u.replicas.Store(&all)
	if status, err := send(u, "GET"); err == nil {
		t.Errorf("answered %d", status)
	}
	if n := seen.Load(); n != 0 {
		t.Errorf("the impostor saw %d requests", n)
	}
}
