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

	"github.com/realmgate/realmgate/gateway/internal/edge"
	"github.com/realmgate/realmgate/gateway/internal/memory"
	"github.com/realmgate/realmgate/gateway/openapi"
	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/pkg/testkit"
)

func TestBodiesArriveAsTheyWereSent(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	ada := d.users.signIn(t)
	large := `{"value":"` + strings.Repeat("x\\u0000é", 1<<20) + `"}`
	for name, a := range map[string]ask{
		"a small one": {method: "PATCH", path: "/api/v1/vault/keys/k", body: `{"value":"\u0000"}`},
		"9 MB":        {method: "PUT", path: "/api/v1/vault/keys/k", body: large},
		"with DELETE": {method: "DELETE", path: "/api/v1/users/auth/2fa", body: `{"code":"1"}`},
		"not UTF-8":   {method: "PATCH", path: "/api/v1/vault/keys/k", body: "\xff\x00\xfe"},
	} {
		a.bearer = ada.token
		if r := d.do(a); r.status != 200 {
			t.Errorf("%s: %d %.100s", name, r.status, r.raw)
			continue
		}
		got := append(d.vault.got(), d.users.got()...)
		if len(got) != 1 || got[0].body != a.body {
			t.Errorf("%s: another body arrived", name)
		}
	}
}

func TestChunkedBodiesArriveWhole(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	ada := d.users.signIn(t)
	for _, size := range []int{0, 1, 5000, memory.Unaccounted, memory.Unaccounted + 1, 1 << 20, 5 << 20} {
		body := strings.Repeat("y", size)
		// no known length
		req, _ := http.NewRequest("PATCH", "http://"+d.addr+"/api/v1/vault/keys/k", io.MultiReader(strings.NewReader(body)))
		req.Header.Set("Authorization", "Bearer "+ada.token)
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if got := d.vault.got(); res.StatusCode != 200 || len(got) != 1 || got[0].body != body {
			t.Errorf("%d bytes: %d", size, res.StatusCode)
		}
	}
	raw := d.wire("PATCH /api/v1/vault/keys/k HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nAuthorization: Bearer " + ada.token + "\r\n\r\nxyz\r\n")
	expect(t, raw, "400", "BAD_REQUEST")
	for _, begun := range []string{"5\r\nab", fmt.Sprintf("%x\r\n%s", 70_000, strings.Repeat("z", 69_000)), "2\r\nab\r\n",
		fmt.Sprintf("%x\r\n%s\r\n", 70_000, strings.Repeat("z", 70_000))} {
		raw := d.wireAll("PATCH /api/v1/vault/keys/k HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nAuthorization: Bearer " + ada.token + "\r\n\r\n" + begun)
		expect(t, raw, "400", "BAD_REQUEST")
	}
	if got := d.vault.got(); len(got) != 0 {
		t.Errorf("%d bodies that broke off were forwarded", len(got))
	}
}

func TestARefusalOfALargeBodyCanBeRead(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) { c.Edge.VaultMaxBodyMB = 2 })
	ada := d.users.signIn(t)
	body := strings.Repeat("z", 5<<20)
	for _, c := range []struct {
		name string
		ask  ask
		want string
	}{
		{"over the vault's limit", ask{method: "PATCH", path: "/api/v1/vault/keys/k", bearer: ada.token},
			"413 PAYLOAD_TOO_LARGE"},
		{"over the limit of others", ask{method: "POST", path: "/api/v1/auth/tokens", bearer: ada.token},
			"413 PAYLOAD_TOO_LARGE"},
		{"on a public route", ask{method: "POST", path: "/api/v1/users/auth/login"}, "413 PAYLOAD_TOO_LARGE"},
		{"from nobody", ask{method: "PATCH", path: "/api/v1/vault/keys/k"}, "401 MISSING_TOKEN"},
		{"to nowhere", ask{method: "POST", path: "/nowhere"}, "404 NOT_FOUND"},
	} {
		for range 2 {
			c.ask.body = body
			r, err := d.try(c.ask)
			if got := fmt.Sprint(r.status, " ", r.code); err != nil || got != c.want {
				t.Errorf("%s: %s %v, want %s", c.name, got, err, c.want)
			}
		}
	}
	raw := d.wire("PATCH /api/v1/vault/keys/k HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 99999999999999\r\nAuthorization: Bearer " + ada.token + "\r\n\r\n" + strings.Repeat("a", 9000))
	expect(t, raw, "413", "PAYLOAD_TOO_LARGE")
	// chunked
	req, _ := http.NewRequest("PATCH", "http://"+d.addr+"/api/v1/vault/keys/k", io.MultiReader(strings.NewReader(body)))
	req.Header.Set("Authorization", "Bearer "+ada.token)
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatalf("chunked: %v", err)
	}
	if _ = res.Body.Close(); res.StatusCode != 413 {
		t.Errorf("chunked: %d", res.StatusCode)
	}
	if got := append(d.vault.got(), d.users.got()...); len(got) != 0 {
		t.Errorf("%d requests were forwarded", len(got))
	}
}

func TestAWriteMayBeAsLargeAsTheQuotaOfItsUserAsksFor(t *testing.T) {
	t.Parallel()
	quota := func(mb int64) func(*sessionstate.State) {
		return func(s *sessionstate.State) { s.VaultQuota = mb << 20 }
	}
	d, of500 := startGateway(t), startGateway(t, func(c *Config) { c.Edge.VaultQuotaMB, c.Edge.BodyMemoryMB = 500, 1500 })
	for _, c := range []struct {
		name    string
		gateway *testGateway
		quota   int64
		mb      int
		want    string
	}{
		{"the default quota", d, 0, 302, "400"},
		{"above it", d, 0, 303, "413"},
		{"a quota of the user's own", d, 80, 482, "400"},
		{"above that", d, 80, 483, "413"},
		{"a small quota: values from before may be large", d, 1, 110, "400"},
		{"a user who may store nothing", d, -1, 110, "400"},
		{"above that", d, -1, 111, "413"},
		{"a quota beyond all memory", d, 1 << 20, 512, "400"},
		{"above the memory", d, 1 << 20, 513, "413"},
		{"a larger default: as much as PostgreSQL takes", of500, 0, 1000, "400"},
		{"above that", of500, 0, 1001, "413"},
		{"a smaller one of the user's own", of500, 100, 603, "413"},
	} {
		ada := c.gateway.users.signIn(t, quota(c.quota))
		// Most of the body never comes: one that would be taken is 400, malformed.
		raw := c.gateway.wireAll(fmt.Sprintf("PUT /api/v1/vault/keys/k HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\nAuthorization: Bearer %s\r\n\r\n%s",
			c.mb<<20, ada.token, strings.Repeat("a", 9000)))
		if !strings.HasPrefix(raw, "HTTP/1.1 "+c.want) {
			t.Errorf("%s, %d MB: got %.60q, want %s", c.name, c.mb, raw, c.want)
		}
	}
}

func TestLargeAnswersPassThrough(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	events := d.listen()
	ada := d.users.signIn(t)
	value := strings.Repeat("v", 5<<20)
	d.vault.answers(func(w http.ResponseWriter, _ seen) {
		writeJSON(w, 200, map[string]any{"statusCode": 200, "data": value})
	})
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			r := d.do(ask{method: "GET", path: "/api/v1/vault/keys/k", bearer: ada.token})
			if r.status != 200 || !strings.Contains(r.raw, value) || r.header.Get("X-Request-ID") == "" {
				t.Errorf("got %d, %d bytes", r.status, len(r.raw))
			}
		})
	}
	wait.Wait()
	d.until("they are recorded", func() bool { return len(events.of(ada.userID)) == 4 })
}

func TestExpectContinueIsHonoured(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	ada := d.users.signIn(t)
	c, err := net.Dial("tcp", d.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(testkit.Patience))
	fmt.Fprintf(c, "PUT /api/v1/vault/keys/k HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 2\r\nAuthorization: Bearer %s\r\n\r\n", ada.token)
	buf := make([]byte, 100)
	n, _ := c.Read(buf)
	if !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 100") {
		t.Fatalf("got %q", buf[:n])
	}
	fmt.Fprint(c, "{}")
	rest, _ := io.ReadAll(c)
	if !strings.HasPrefix(string(rest), "HTTP/1.1 200") {
		t.Errorf("got %q", rest)
	}
}

func TestBrowsersOfAllowedOriginsMayCall(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) { c.Edge.CORSOrigins = edge.TextList{"https://app.example"} })
	ada := d.users.signIn(t)
	preflight := ask{method: "OPTIONS", path: "/api/v1/vault/keys/k",
		header: map[string]string{"Origin": "https://app.example", "Access-Control-Request-Method": "PUT"}}
	r := d.do(preflight)
	if r.status != 204 || r.header.Get("Access-Control-Allow-Origin") != "https://app.example" ||
		!strings.Contains(r.header.Get("Access-Control-Allow-Methods"), "PUT") ||
		!strings.Contains(r.header.Get("Access-Control-Allow-Headers"), "Authorization") || r.header.Get("Vary") == "" {
		t.Errorf("preflight: %d %v", r.status, r.header)
	}
	for _, a := range []ask{{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token},
		{method: "GET", path: "/api/v1/vault/keys"}} {
		a.header = map[string]string{"Origin": "https://app.example"}
		if r := d.do(a); r.header.Get("Access-Control-Allow-Origin") == "" ||
			!strings.Contains(r.header.Get("Access-Control-Expose-Headers"), "RateLimit-Limit") {
			t.Errorf("%d: %v", r.status, r.header)
		}
		a.header = map[string]string{"Origin": "https://evil.example"}
		if r := d.do(a); r.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("another origin: %v", r.header)
		}
	}
	closed := startGateway(t)
	if r := closed.do(preflight); r.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("without the setting: %v", r.header)
	}
}

func TestTheGatewayServesItsDocuments(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	for path, want := range map[string]string{
		"/openapi.yaml": "application/yaml", "/openapi.json": "application/json", "/docs": "text/html; charset=utf-8",
		"/docs/app.js":    "text/javascript; charset=utf-8",
		"/docs/style.css": "text/css; charset=utf-8", "/docs/errors/RATE_LIMITED": "text/html; charset=utf-8",
		"/.well-known/jwks.json": "application/json",
	} {
		r := d.do(ask{method: "GET", path: path})
		if r.status != 200 || r.header.Get("Content-Type") != want || len(r.raw) < 50 {
			t.Errorf("%s: %d %s %d bytes", path, r.status, r.header.Get("Content-Type"), len(r.raw))
		}
		if strings.HasPrefix(path, "/docs") && r.header.Get("Content-Security-Policy") != openapi.ContentSecurityPolicy {
			t.Errorf("%s: policy %q", path, r.header.Get("Content-Security-Policy"))
		}
	}
	for _, path := range []string{"/docs/errors/NO_SUCH", "/docs/other.js", "/livez"} {
		if r := d.do(ask{method: "GET", path: path}); r.status != 404 || r.code != "NOT_FOUND" {
			t.Errorf("%s: %d", path, r.status)
		}
	}
	if r := d.do(ask{method: "GET", path: "/"}); r.status != 302 || r.header.Get("Location") == "" {
		t.Errorf("/: %d %v", r.status, r.header)
	}
}
