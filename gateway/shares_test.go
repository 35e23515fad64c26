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
)

func TestLargeBodiesShareTheMemory(t *testing.T) {
	t.Parallel()
	d := openDoor(t, func(c *Config) {
		c.Edge.VaultMaxBodyMB, c.Edge.BodyMemoryMB, c.Edge.BodyWait = 4, 8, 300*time.Millisecond
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
	large, middle := strings.Repeat("w", 3<<20), strings.Repeat("w", freeBody+1)
	var wait sync.WaitGroup
	sent := 0
	send := func(who person, body string) {
		wait.Go(func() {
			if r := put(who, body); r.status != 200 {
				t.Errorf("one that fits: %d", r.status)
			}
		})
		sent++
		d.until("it is on its way", func() bool { d.vault.mu.Lock(); defer d.vault.mu.Unlock(); return len(d.vault.requests) == sent })
	}
	refused := func(what string, who person, body string) {
		if r := put(who, body); r.status != 503 || r.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d", what, r.status)
		}
	}
	send(ada, large)
	refused("a second one of the same user, who has a part already", ada, large)
	refused("a middle one of the same user", ada, middle)
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

// TestNobodyTakesEveryConnectionByNotReading: a client that asks for large values and does not read them has a connection to vault-svc for each.
func TestNobodyTakesEveryConnectionByNotReading(t *testing.T) {
	t.Parallel()
	const conns = 32
	d := openDoor(t, func(c *Config) { c.Upstreams.MaxConns, c.Upstreams.QueueWait = conns, time.Second })
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
	d.until("all have asked", func() bool { d.vault.mu.Lock(); defer d.vault.mu.Unlock(); return len(d.vault.requests) == conns })
	d.until("those without a place are refused", func() bool { return d.value("http_requests_total", "status=503") == conns-conns/partOfConns })
	for path, who := range map[string]person{"/api/v1/vault/keys": ada, "/api/v1/vault/keys/large": ada, "/api/v1/vault/keys/small": eve} {
		if r := d.do(ask{method: "GET", path: path, bearer: who.token}); r.status != 200 {
			t.Errorf("%s: %d", path, r.status)
		}
	}
	if r := d.do(ask{method: "GET", path: "/api/v1/vault/keys/large", bearer: eve.token}); r.status != 503 || r.header.Get("Retry-After") == "" {
		t.Errorf("one more: %d", r.status)
	}
	for _, c := range deaf {
		_ = c.Close()
	}
	d.until("the places are given back", func() bool {
		return d.do(ask{method: "GET", path: "/api/v1/vault/keys/large", bearer: eve.token}).status == 200
	})
}
