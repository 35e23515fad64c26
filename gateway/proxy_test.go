package gateway

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestAnswersThatAreNotOursAreNotShown(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
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
	d := startGateway(t, func(c *Config) { c.Upstreams.Timeout = time.Second })
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
