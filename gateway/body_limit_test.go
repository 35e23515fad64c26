package gateway

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/gateway/internal/edge"
	"github.com/realmgate/realmgate/gateway/internal/memory"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// TestEveryRouteTakesAsMuchAsItNeeds sends each route a body of its limit and one of a byte more.
func TestEveryRouteTakesAsMuchAsItNeeds(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) {
		c.Limits.Signup.Count, c.Limits.Verify.Count, c.Limits.Resend.Count, c.Limits.RetrySetup.Count = 0, 0, 0, 0
	})
	root := d.users.signIn(t, func(s *sessionstate.State) { s.Admin = true })
	d.vault.answers(answerWithBodyLength)
	d.users.answers(func(w http.ResponseWriter, r seen) {
		if strings.HasPrefix(r.target, "/internal/") || r.target == "/.well-known/jwks.json" {
			d.users.serve(w, r)
			return
		}
		answerWithBodyLength(w, r)
	})
	tried := 0
	for _, row := range routeTable() {
		for method := range strings.SplitSeq(row.methods, " ") {
			if method == "GET" || row.body == vaultBody || row.target == here ||
				row.traits&cookieSession != 0 { // whose bodies are those of a login, or replaced
				continue
			}
			tried++
			limit := 64 << 10
			switch method + " " + row.path {
			case "PATCH /api/v1/users/{id}", "PUT /api/v1/users/{id}", "POST /api/v1/auth/tokens",
				"PUT /api/v1/auth/tokens/{id}",
				"PATCH /api/v1/auth/tokens/{id}", "DELETE /api/v1/auth/tokens/{id}":
				limit = 640 << 10
			}
			path := strings.NewReplacer("{id}", strings.Repeat("a", 24), "{key}", "k").Replace(row.path)
			for size, want := range map[int]int{limit: 200, limit + 1: 413} {
				a := ask{method: method, path: path, body: strings.Repeat(" ", size)}
				if row.access != public {
					a.bearer = root.token
				}
				r := d.do(a)
				if r.status != want || want == 413 && r.code != "PAYLOAD_TOO_LARGE" || want == 200 &&
					!strings.Contains(r.raw, fmt.Sprint(size)) {
					t.Errorf("%s %s, %d bytes: %d %.100s, want %d", method, row.path, size, r.status, r.raw, want)
				}
				// chunked
				req, _ := http.NewRequest(method, "http://"+d.addr+path, struct{ *strings.Reader }{strings.NewReader(a.body)})
				req.Header.Set("Authorization", "Bearer "+a.bearer)
				res, err := http.DefaultTransport.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				if _ = res.Body.Close(); res.StatusCode != want {
					t.Errorf("%s %s, %d bytes in chunks: %d, want %d", method, row.path, size, res.StatusCode, want)
				}
			}
		}
	}
	if tried < 25 {
		t.Errorf("%d routes with bodies, want at least 25", tried)
	}
}

func answerWithBodyLength(w http.ResponseWriter, r seen) {
	writeJSON(w, 200, map[string]any{"statusCode": 200, "message": fmt.Sprint(len(r.body)), "data": nil})
}

// slowLogins opens connections whose logins never end, each from the address that from returns.
func (d *testGateway) slowLogins(n int, from func(i int) string) {
	for i := range n {
		c, err := net.Dial("tcp", d.addr)
		if err != nil {
			d.t.Fatal(err)
		}
		d.t.Cleanup(func() { _ = c.Close() })
		fmt.Fprintf(c, "POST /api/v1/users/auth/login HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: %s\r\nContent-Length: %d\r\n\r\n%s", from(i), maxFields, strings.Repeat(" ", 9000))
	}
}

// login sends a login of so many bytes from an address and returns the status.
func (d *testGateway) login(size int, from string) int {
	return d.do(ask{method: "POST", path: "/api/v1/users/auth/login", body: strings.Repeat(" ", size),
		header: map[string]string{"X-Forwarded-For": from}}).status
}

func behindProxy(c *Config) {
	c.Edge.TrustedProxies, c.Edge.BodyMemoryMB, c.Edge.BodyWait, c.ReadTimeout = edge.TextList{"127.0.0.1"}, 4,
		300*time.Millisecond, time.Minute
}

// TestSlowStrangersKeepNobodyFromTheVault: bodies without a user have memory of their own.
func TestSlowStrangersKeepNobodyFromTheVault(t *testing.T) {
	t.Parallel()
	d := startGateway(t, behindProxy)
	ada := d.users.signIn(t)
	const all = memory.AnonymousBytes / maxFields
	d.slowLogins(all, func(i int) string { return fmt.Sprintf("2001:db8:%x::1", i) })
	d.until("the memory for strangers is used up", func() bool { return d.login(maxFields, "192.0.2.1") == 503 })
	for _, size := range []int{1000, memory.Unaccounted + 1, 2 << 20} {
		if r := d.do(ask{method: "PUT", path: "/api/v1/vault/keys/k", bearer: ada.token,
			body: strings.Repeat("v", size)}); r.status != 200 {
			t.Errorf("a vault write of %d bytes: %d %s", size, r.status, r.raw)
		}
	}
	for _, size := range []int{0, 100, memory.UnaccountedAnonymous} {
		if status := d.login(size, "192.0.2.2"); status != 200 {
			t.Errorf("a login of %d bytes: %d", size, status)
		}
	}
}

// TestOneSiteOfStrangersHasAPartOfTheMemory: the 65,536 networks of an IPv6 /48 count as one.
func TestOneSiteOfStrangersHasAPartOfTheMemory(t *testing.T) {
	t.Parallel()
	d := startGateway(t, behindProxy)
	const part = memory.AnonymousBytes / memory.AnonymousShare / maxFields
	d.slowLogins(2*part, func(i int) string { return fmt.Sprintf("2001:db8:7:%x::1", i) })
	d.until("the site has its part", func() bool { return d.login(maxFields, "2001:db8:7:ffff::1") == 503 })
	for _, other := range []string{"2001:db8:8::1", "192.0.2.1"} {
		if status := d.login(maxFields, other); status != 200 {
			t.Errorf("another site, %s: %d", other, status)
		}
	}
	if status := d.login(memory.UnaccountedAnonymous, "2001:db8:7:ffff::1"); status != 200 {
		t.Errorf("a small login of the same site: %d", status)
	}
}
