package gateway

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/realmgate/realmgate/gateway/internal/memory"
)

func TestLargeBodiesShareTheMemory(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) {
		c.Edge.VaultMaxBodyMB, c.Edge.BodyMemoryMB, c.Edge.BodyWait = 4, 8, 300*time.Millisecond // 6 MB are for large ones
	})
	ada, bob, eve := d.users.signIn(t), d.users.signIn(t), d.users.signIn(t)
	release := make(chan struct{})
	d.vault.answers(func(w http.ResponseWriter, _ seen) {
		<-release
		writeJSON(w, 200, map[string]any{"statusCode": 200})
	})
	put := func(who person, body string) reply {
		return d.do(ask{method: "PUT", path: "/api/v1/vault/keys/k", bearer: who.token, body: body})
	}
	large, middle := strings.Repeat("w", 3<<20), strings.Repeat("w", memory.Unaccounted+1)
	var wait sync.WaitGroup
	sent := 0
	send := func(who person, body string) {
		wait.Go(func() {
			if r := put(who, body); r.status != 200 {
				t.Errorf("one that fits: %d", r.status)
			}
		})
		sent++
		d.until("it is on its way", func() bool { return d.vault.requestCount() == sent })
	}
	refused := func(what string, who person, body string) {
		if r := put(who, body); r.status != 503 || r.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d", what, r.status)
		}
	}
	send(ada, large)
	refused("a second large one of the same user", ada, large)
	send(ada, middle)
	refused("a second middle one of the same user, who has a part already", ada, middle)
	send(ada, "{}")
	send(bob, large)
	refused("one that does not fit in all", eve, large)
	send(eve, middle)
	close(release)
	wait.Wait()
	for range 5 {
		if r := put(ada, large); r.status != 200 {
			t.Errorf("afterwards: %d", r.status)
		}
	}
}

// TestSlowAccountsKeepNobodyFromTheVault: large bodies that never end hold their part of the
// memory, and middle ones of the same users one part each.
func TestSlowAccountsKeepNobodyFromTheVault(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) {
		c.Edge.BodyMemoryMB, c.Edge.BodyWait, c.ReadTimeout = 64, 300*time.Millisecond, time.Minute
	})
	slow := func(who person, length, begin string) {
		c, err := net.Dial("tcp", d.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		fmt.Fprintf(c, "PUT /api/v1/vault/keys/k HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n%s\r\n\r\n%s", who.token,
			length, begin)
	}
	var eve person
	begin := strings.Repeat("v", memory.Unaccounted+9000)
	for range 6 {
		eve = d.users.signIn(t)
		for range 3 {
			slow(eve, "Content-Length: 50000000", begin)
			slow(eve, "Content-Length: 1000000", begin)
			slow(eve, "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s", 2*memory.Unaccounted, begin))
		}
	}
	ada := d.users.signIn(t)
	put := func(who person, size int) int {
		return d.do(ask{method: "PUT", path: "/api/v1/vault/keys/k", bearer: who.token,
			body: strings.Repeat("v", size)}).status
	}
	d.until("the slow ones have the memory for large bodies", func() bool { return put(ada, 2<<20) == 503 })
	d.until("one of them has their part", func() bool { return put(eve, 1<<20) == 503 })
	for _, size := range []int{1000, memory.Unaccounted + 1, 1 << 20} {
		if status := put(ada, size); status != 200 {
			t.Errorf("%d bytes of somebody else: %d", size, status)
		}
	}
}

// TestNobodyTakesEveryConnectionByNotReading: a client that asks for large values and does not read
// them has a connection to vault-svc for each.
func TestNobodyTakesEveryConnectionByNotReading(t *testing.T) {
	t.Parallel()
	const conns = 32
	d := startGateway(t, func(c *Config) { c.Upstreams.MaxConns, c.Upstreams.QueueWait = conns, time.Second })
	eve, ada := d.users.signIn(t), d.users.signIn(t)
	large := `{"value":"` + strings.Repeat("x", 10<<20) + `"}`
	d.vault.answers(func(w http.ResponseWriter, r seen) {
		w.Header().Set("Content-Type", "application/json")
		if !strings.Contains(r.target, "/large") {
			_, _ = io.WriteString(w, "{}")
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(large)))
		_, _ = io.WriteString(w, large)
	})
	var deaf []net.Conn
	for range conns {
		c, err := net.Dial("tcp", d.addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.(*net.TCPConn).SetReadBuffer(4096)
		fmt.Fprintf(c, "GET /api/v1/vault/keys/large HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n", eve.token)
		deaf = append(deaf, c)
	}
	d.until("all have asked", func() bool { return d.vault.requestCount() == conns })
	d.until("those without a place are refused",
		func() bool { return d.value("http_requests_total", "status=503") == conns-conns/streamShare })
	for path, who := range map[string]person{"/api/v1/vault/keys": ada, "/api/v1/vault/keys/large": ada,
		"/api/v1/vault/keys/small": eve} {
		if r := d.do(ask{method: "GET", path: path, bearer: who.token}); r.status != 200 {
			t.Errorf("%s: %d", path, r.status)
		}
	}
	if r := d.do(ask{method: "GET", path: "/api/v1/vault/keys/large", bearer: eve.token}); r.status != 503 ||
		r.header.Get("Retry-After") == "" {
		t.Errorf("one more: %d", r.status)
	}
	for _, c := range deaf {
		_ = c.Close()
	}
	d.until("the places are given back", func() bool {
		return d.do(ask{method: "GET", path: "/api/v1/vault/keys/large", bearer: eve.token}).status == 200
	})
}
