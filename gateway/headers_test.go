package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

func TestSeveralAcceptLinesAreOneList(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	ada := d.users.signIn(t)
	request := func(path string) string {
		return d.wire(fmt.Sprintf("GET %s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\nAccept: application/json\r\nAccept: application/problem+json\r\nConnection: close\r\n\r\n",
			path, ada.token))
	}
	if got := request("/nowhere"); !strings.Contains(got, "Content-Type: application/problem+json\r\n") {
		t.Errorf("an error of the gateway: %s", got)
	}
	request("/api/v1/vault/keys")
	if got := d.vault.got()[0].header["Accept"]; !slices.Equal(got,
		[]string{"application/json, application/problem+json"}) {
		t.Errorf("the service got %q", got)
	}
}

func TestOnlyNamedHeadersOfAnAnswerReachTheClient(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	ada := d.users.signIn(t)
	named := map[string]string{
		"Allow": "GET", "Cache-Control": "private", "Content-Security-Policy": "default-src 'none'",
		"Referrer-Policy": "no-referrer", "Retry-After": "7",
		"Www-Authenticate": "Bearer", "X-Content-Type-Options": "nosniff",
	}
	d.vault.answers(func(w http.ResponseWriter, r seen) {
		for name, v := range named {
			w.Header().Set(name, v)
		}
		for _, name := range []string{
			"Set-Cookie", "Proxy-Authenticate", "Proxy-Connection", "Upgrade", "Keep-Alive", "Connection", "Server",
			"X-Request-ID", "X-Internal-Node", "x_odd", "Trailer",
			sessionstate.ChangedHeader, internalapi.OnUserHeader, auth.IdentityHeader, "Access-Control-Allow-Origin",
		} {
			w.Header().Set(name, "close")
			w.Header().Add(name, "twice")
		}
		writeJSON(w, 200, map[string]any{"statusCode": 200, "message": strings.Repeat("x", len(r.target)*20_000),
			"data": nil})
	})
	for _, path := range []string{"/api/v1/vault/keys", "/api/v1/vault/keys/k"} { // as a whole, and passed through
		r := d.do(ask{method: "GET", path: path, bearer: ada.token})
		if r.status != 200 || len(r.raw) < 300_000 {
			t.Fatalf("%s: got %d and %d bytes", path, r.status, len(r.raw))
		}
		for name, v := range named {
			if got := r.header.Values(name); !slices.Equal(got, []string{v}) {
				t.Errorf("%s: %s is %q, want %q", path, name, got, v)
			}
			r.header.Del(name)
		}
		for _, name := range []string{"Content-Type", "Content-Length", "Date", "X-Request-Id", "Ratelimit-Limit",
			"Ratelimit-Remaining", "Ratelimit-Reset"} {
			if got := r.header.Values(name); len(got) > 1 || len(got) == 1 && strings.Contains(got[0], "twice") {
				t.Errorf("%s: %s is %q", path, name, got)
			}
			r.header.Del(name)
		}
		if len(r.header) > 0 {
			t.Errorf("%s: also %v", path, r.header)
		}
	}
}

func TestAnswersCostNothingForTheirHeaders(t *testing.T) {
	var resp fasthttp.Response
	for _, name := range []string{"Content-Type", "Content-Length", "Date", "Cache-Control", "X-Content-Type-Options"} {
		resp.Header.Set(name, "1")
	}
	if n := testing.AllocsPerRun(100, func() { stripHeaders(&resp.Header, false) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
