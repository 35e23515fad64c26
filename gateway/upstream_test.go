package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/pkg/testkit"
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
		writeJSON(w, 200, map[string]any{"ok": true})
	})}
	go func() { _ = r.srv.Serve(ln) }()
	t.Cleanup(func() { _ = r.srv.Close() })
	return r
}

// dial makes an upstream of the given addresses.
func dial(t *testing.T, timeout time.Duration, addrs ...string) *upstream {
	t.Helper()
	u, err := newUpstream("vault-svc", "http://unused:1",
		UpstreamConfig{Timeout: timeout, MaxConns: 64, MaxInFlight: 64, QueueWait: 100 * time.Millisecond},
		noIdentity, nil, testkit.Log(t), newUpstreamMetrics(prometheus.NewRegistry()))
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

func send(u *upstream, method string) (int, error) {
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
	err := u.send(context.Background(), req, resp, upstreamCall{})
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
	if r, _ := u.pick(nil); r != nil {
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
	u, err := newUpstream("vault-svc", "http://localhost:"+port,
		UpstreamConfig{Timeout: time.Second, MaxConns: 8, MaxInFlight: 8, ResolveEvery: time.Second}, noIdentity, nil,
		testkit.Log(t),
		newUpstreamMetrics(prometheus.NewRegistry()))
	if err != nil {
		t.Fatal(err)
	}
	if err := u.resolve(context.Background()); err != nil {
		t.Fatal(err)
	}
	first := *u.replicas.Load()
	if err := u.resolve(context.Background()); err != nil {
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
	if err := u.resolve(context.Background()); err == nil {
		t.Error("a name that does not exist was found")
	}
	if len(*u.replicas.Load()) != len(first) {
		t.Error("the last addresses were forgotten")
	}
	u.close()
}

func TestAnswersThatAreNotOursAreNotShown(t *testing.T) {
	t.Parallel()
	d := openDoor(t)
	ada := d.users.signIn(t)
	for name, answer := range map[string]func(http.ResponseWriter, seen){
		"a page of a proxy": func(w http.ResponseWriter, _ seen) {
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("X-Powered-By", "10.0.0.7")
			w.WriteHeader(502)
			_, _ = fmt.Fprint(w, "<h1>bad gateway at "+d.vault.URL+"</h1>")
		},
		"nothing":             func(http.ResponseWriter, seen) { panic(http.ErrAbortHandler) },
		"nothing but headers": func(w http.ResponseWriter, _ seen) { w.WriteHeader(204) },
	} {
		d.vault.answers(answer)
		r := d.do(ask{method: "PATCH", path: "/api/v1/vault/keys/k", bearer: ada.token, body: "{}"})
		if r.status != 503 || r.code != "SERVICE_UNAVAILABLE" || r.header.Get("Retry-After") == "" ||
			r.header.Get("X-Request-ID") == "" {
			t.Errorf("%s: %d %s %v", name, r.status, r.raw, r.header)
		}
		if all := fmt.Sprint(r.raw, r.header); strings.Contains(all, "127.0.0.1") || strings.Contains(all, "10.0.0.7") {
			t.Errorf("%s: an address got out: %s", name, all)
		}
	}
	d.vault.Close()
	r := d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token})
	if r.status != 503 || strings.Contains(r.raw, "127.0.0.1") {
		t.Errorf("with the service away: %d %s", r.status, r.raw)
	}
	r = d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token,
		header: map[string]string{"Accept": "application/problem+json"}})
	if r.status != 503 || r.header.Get("Content-Type") != "application/problem+json" ||
		!strings.Contains(r.raw, `"type":"/docs/errors/SERVICE_UNAVAILABLE"`) {
		t.Errorf("as a problem: %d %s", r.status, r.raw)
	}
}

func TestAnAnswerThatBreaksOffIsNotPassedOn(t *testing.T) {
	t.Parallel()
	d := openDoor(t, func(c *Config) { c.Upstreams.Timeout = time.Second })
	ada := d.users.signIn(t)
	for name, end := range map[string]func(*net.TCPConn){
		"closed": func(c *net.TCPConn) { _ = c.Close() },
		"reset":  func(c *net.TCPConn) { time.Sleep(50 * time.Millisecond); _ = c.SetLinger(0); _ = c.Close() },
		"silent": func(c *net.TCPConn) { time.Sleep(2 * time.Second); _ = c.Close() },
	} {
		d.vault.answers(func(w http.ResponseWriter, _ seen) {
			conn, buf, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			fmt.Fprintf(buf, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{%s",
				strings.Repeat(" ", 50_000))
			_ = buf.Flush()
			end(conn.(*net.TCPConn))
		})
		for _, path := range []string{"/api/v1/vault/keys/k", "/api/v1/vault/keys"} {
			if r := d.do(ask{method: "GET", path: path, bearer: ada.token}); r.status != 503 ||
				r.code != "SERVICE_UNAVAILABLE" || strings.Contains(r.raw, "127.0.0.1") {
				t.Errorf("%s, %s: got %d %.200q", name, path, r.status, r.raw)
			}
		}
	}
}
