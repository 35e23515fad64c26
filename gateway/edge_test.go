package gateway

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/gateway/internal/edge"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// malformedRequests are refused before they are routed. {signed} stands for a host and a
// credential that is valid.
var malformedRequests = []struct{ name, request, want, code string }{
	{"content-length with transfer-encoding",
		"PATCH /api/v1/vault/keys/k HTTP/1.1\r\n{signed}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"400", "BAD_REQUEST"},
	{"transfer-encoding before content-length",
		"PATCH /api/v1/vault/keys/k HTTP/1.1\r\n{signed}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
		"400", "BAD_REQUEST"},
	{"two content-lengths",
		"PATCH /api/v1/vault/keys/k HTTP/1.1\r\n{signed}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
		"400", "BAD_REQUEST"},
	{"a list of content-lengths",
		"PATCH /api/v1/vault/keys/k HTTP/1.1\r\n{signed}Content-Length: 2, 2\r\n\r\n{}", "400", "BAD_REQUEST"},
	{"a signed content-length",
		"PATCH /api/v1/vault/keys/k HTTP/1.1\r\n{signed}Content-Length: +2\r\n\r\n{}", "400", "BAD_REQUEST"},
	{"an encoding that is not chunked",
		"PATCH /api/v1/vault/keys/k HTTP/1.1\r\n{signed}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"400", "BAD_REQUEST"},
	{"chunked with a Kelvin sign",
		"PATCH /api/v1/vault/keys/k HTTP/1.1\r\n{signed}Transfer-Encoding: chun\u212aed\r\n\r\n0\r\n\r\n",
		"400", "BAD_REQUEST"},
	{"chunked with a no-break space",
		"PATCH /api/v1/vault/keys/k HTTP/1.1\r\n{signed}Transfer-Encoding: chunked\u00a0\r\n\r\n0\r\n\r\n",
		"400", "BAD_REQUEST"},
	{"chunked with a vertical tab",
		"PATCH /api/v1/vault/keys/k HTTP/1.1\r\n{signed}Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n",
		"400", "BAD_REQUEST"},
	{"chunked twice",
		"PATCH /api/v1/vault/keys/k HTTP/1.1\r\n{signed}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"400", "BAD_REQUEST"},
	{"a name with a long s",
		"PATCH /api/v1/vault/keys/k HTTP/1.1\r\n{signed}Tran\u017ffer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"400", "BAD_REQUEST"},
	{"a tab before the colon",
		"PATCH /api/v1/vault/keys/k HTTP/1.1\r\n{signed}Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
		"400", "BAD_REQUEST"},
	{"a vertical tab before the colon",
		"PATCH /api/v1/vault/keys/k HTTP/1.1\r\n{signed}Transfer-Encoding\v: chunked\r\n\r\n0\r\n\r\n",
		"400", "BAD_REQUEST"},
	{"a scheme with a long s", "GET http\u017f://h/api/v1/vault/keys HTTP/1.1\r\n{signed}\r\n", "400", "BAD_REQUEST"},
	{"identity encoding",
		"PATCH /api/v1/vault/keys/k HTTP/1.1\r\n{signed}Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}",
		"400", "BAD_REQUEST"},
	{"absolute-form target of another host",
		"GET http://i/api/v1/vault/keys HTTP/1.1\r\n{signed}\r\n", "400", "BAD_REQUEST"},
	{"authority-form target", "CONNECT h:80 HTTP/1.1\r\n{signed}\r\n", "400", "BAD_REQUEST"},
	{"asterisk-form target", "OPTIONS * HTTP/1.1\r\n{signed}\r\n", "400", "BAD_REQUEST"},
	{"folded header", "GET /api/v1/vault/keys HTTP/1.1\r\n{signed}X-A: b\r\n c\r\n\r\n", "400", "BAD_REQUEST"},
	{"header folded with a tab",
		"GET /api/v1/vault/keys HTTP/1.1\r\n{signed}X-A: b\r\n\tc\r\n\r\n", "400", "BAD_REQUEST"},
	{"space before the colon", "GET /api/v1/vault/keys HTTP/1.1\r\n{signed}X-A : b\r\n\r\n", "400", "BAD_REQUEST"},
	{"space in a header's name", "GET /api/v1/vault/keys HTTP/1.1\r\n{signed}X A: b\r\n\r\n", "400", "BAD_REQUEST"},
	{"a line that ends without CR", "GET /api/v1/vault/keys HTTP/1.1\r\nX-A: b\n{signed}\r\n", "400", "BAD_REQUEST"},
	{"a block that ends without CR",
		"GET /api/v1/vault/keys HTTP/1.1\r\nHost: h\n\nGET /api/v1/vault/keys HTTP/1.1\r\n{signed}\r\n",
		"400", "BAD_REQUEST"},
	{"another major version", "GET /api/v1/vault/keys HTTP/2.0\r\n{signed}\r\n", "400", "BAD_REQUEST"},
	{"no host", "GET /api/v1/vault/keys HTTP/1.1\r\nX-A: b\r\n\r\n", "400", "BAD_REQUEST"},
	{"no host in HTTP/1.2", "GET /api/v1/vault/keys HTTP/1.2\r\n\r\n", "400", "BAD_REQUEST"},
	{"a wrong host in HTTP/1.0", "GET /api/v1/vault/keys HTTP/1.0\r\nHost: a/b\r\n\r\n", "400", "BAD_REQUEST"},
	{"an empty host", "GET /api/v1/vault/keys HTTP/1.1\r\nHost: \r\n\r\n", "400", "BAD_REQUEST"},
	{"two hosts", "GET /api/v1/vault/keys HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400", "BAD_REQUEST"},
	{"a host with a slash", "GET /api/v1/vault/keys HTTP/1.1\r\nHost: a/b\r\n\r\n", "400", "BAD_REQUEST"},
	{"a host with a space", "GET /api/v1/vault/keys HTTP/1.1\r\nHost: a b\r\n\r\n", "400", "BAD_REQUEST"},
	{"no version", "GET /api/v1/vault/keys\r\nHost: h\r\n\r\n", "400", "BAD_REQUEST"},
	{"a fragment", "GET /api/v1/vault/keys#x HTTP/1.1\r\n{signed}\r\n", "400", "BAD_REQUEST"},
	{"a target that is too long",
		"GET /api/v1/vault/keys?" + strings.Repeat("a", 8192) + " HTTP/1.1\r\n{signed}\r\n", "414", "URI_TOO_LONG"},
	{"headers that are too large",
		"GET /api/v1/vault/keys HTTP/1.1\r\n{signed}X-A: " + strings.Repeat("a", 20<<10) + "\r\n\r\n",
		"431", "HEADERS_TOO_LARGE"},
	{"junk", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "400", "BAD_REQUEST"},
}

func TestMalformedRequestsAreRefusedInTheEnvelope(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	ada := d.users.signIn(t)
	signed := "Host: h\r\nAuthorization: Bearer " + ada.token + "\r\n"
	for _, c := range malformedRequests {
		t.Run(c.name, func(t *testing.T) {
			expect(t, d.wire(strings.ReplaceAll(c.request, "{signed}", signed)), c.want, c.code)
		})
	}
	if got := d.vault.got(); len(got) != 0 {
		t.Errorf("the service got %v", got)
	}
}

func TestALoadBalancerMayAskWithoutAHost(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	// As HAProxy's httpchk and other old probes do: only HTTP/1.1 demands a Host (RFC 9112, section
	// 3.2).
	raw := d.wire("GET /api/v1/auth/config HTTP/1.0\r\n\r\n")
	if !strings.HasPrefix(raw, "HTTP/1.0 200 ") && !strings.HasPrefix(raw, "HTTP/1.1 200 ") {
		t.Errorf("got %.200q", raw)
	}
	expect(t, d.wire("GET /api/v1/vault/keys HTTP/1.0\r\n\r\n"), "401", "MISSING_TOKEN")
}

// expect holds the first answer in raw against a status and a code, and the envelope's rules.
func expect(t *testing.T, raw, status, code string) {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(raw)), nil)
	if err != nil {
		t.Fatalf("no answer: %v in %q", err, raw)
	}
	body, _ := io.ReadAll(res.Body)
	var e struct {
		StatusCode           int
		Error, Message, Code string
	}
	if err := json.Unmarshal(body, &e); err != nil {
		t.Fatalf("not an envelope: %q", raw)
	}
	if got := fmt.Sprint(res.StatusCode); got != status || e.Code != code || e.StatusCode != res.StatusCode ||
		e.Error == "" || e.Message == "" {
		t.Errorf("got %s %q, want %s %s", got, body, status, code)
	}
	if res.Header.Get("X-Request-ID") == "" || !strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		t.Errorf("headers %v", res.Header)
	}
}

func TestPathsThatServersReadDifferentlyAreRefused(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	ada := d.users.signIn(t)
	for _, c := range []struct{ method, path, want, code string }{
		{"DELETE", "/api/v1/vault/", "404", "NOT_FOUND"},
		{"DELETE", "/api/v1/vault/keys/..", "400", "BAD_REQUEST"},
		{"DELETE", "/api/v1/vault/keys/../", "400", "BAD_REQUEST"},
		{"DELETE", "/api/v1/vault/keys/%2e%2E", "400", "BAD_REQUEST"},
		{"DELETE", "/api/v1/vault/keys/.%2e", "400", "BAD_REQUEST"},
		{"DELETE", "/api/v1/vault/keys/.", "400", "BAD_REQUEST"},
		{"DELETE", "/api/v1/vault/.", "400", "BAD_REQUEST"},
		{"DELETE", "/api/v1//vault", "400", "BAD_REQUEST"},
		{"DELETE", "//api/v1/vault", "400", "BAD_REQUEST"},
		{"DELETE", "/api/v1/vault%2f", "400", "BAD_REQUEST"},
		{"DELETE", "/api/v1%2fvault", "400", "BAD_REQUEST"},
		{"DELETE", "/api/v1\\vault", "400", "BAD_REQUEST"},
		{"DELETE", "/api/v1/%5cvault", "400", "BAD_REQUEST"},
		{"DELETE", "/api/v1/vault%00", "400", "BAD_REQUEST"},
		{"DELETE", "/api/v1/vaul%74", "404", "NOT_FOUND"},
		{"DELETE", "/API/v1/vault", "404", "NOT_FOUND"},
		{"DELETE", "/api/v1/Vault", "404", "NOT_FOUND"},
		{"DELETE", "/x/../api/v1/vault", "400", "BAD_REQUEST"},
		{"GET", "/api/v1/vault/keys/", "404", "NOT_FOUND"},
		{"GET", "/api/v1/vault/keys/a/b", "404", "NOT_FOUND"},
		{"GET", "/api/v1/vault/keys/a%2Fb", "400", "VALIDATION_ERROR"},
		{"GET", "/api/v1/vault/keys/a%00", "400", "VALIDATION_ERROR"},
		{"GET", "/api/v1/vault/keys/a%5Cb", "400", "VALIDATION_ERROR"},
		{"GET", "/api/v1/vault/keys/%zz", "400", "VALIDATION_ERROR"},
		{"GET", "/api/v1/users/%zz", "400", "BAD_REQUEST"},
		{"GET", "/api/v1/users/", "404", "NOT_FOUND"},
		{"GET", "/docs/", "404", "NOT_FOUND"},
		{"GET", "/openapi.yaml/", "404", "NOT_FOUND"},
		{"POST", "/api/v1/vault/keys", "405", "METHOD_NOT_ALLOWED"},
		{"FROB", "/api/v1/vault/keys", "405", "METHOD_NOT_ALLOWED"},
		{"FROB", "/nowhere", "404", "NOT_FOUND"},
		{"TRACE", "/api/v1/vault/keys", "405", "METHOD_NOT_ALLOWED"},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			expect(t, d.wire(c.method+" "+c.path+" HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: Bearer "+ada.token+"\r\n\r\n"), c.want, c.code)
		})
	}
	if got := d.vault.got(); len(got) != 0 {
		t.Errorf("the service got %v", got)
	}
}

func TestOnlyOneRequestComesOutOfSmuggledBytes(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	ada := d.users.signIn(t)
	signed := "Host: h\r\nAuthorization: Bearer " + ada.token + "\r\n"
	inner := "DELETE /api/v1/vault HTTP/1.1\r\n" + signed + "\r\n"
	for _, framing := range []string{
		fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n%s", len(inner)+5, inner),
		fmt.Sprintf("Transfer-Encoding: xchunked\r\nContent-Length: 3\r\n\r\n{}\n%s", inner),
		fmt.Sprintf("Content-Length: 0\r\nContent-Length: %d\r\n\r\n%s", len(inner), inner),
	} {
		d.wire("PATCH /api/v1/vault/keys/k HTTP/1.1\r\n" + signed + framing)
	}
	d.wire("PATCH /api/v1/vault/keys/k HTTP/1.1\r\n" + signed +
		fmt.Sprintf("Connection: close\r\nContent-Length: %d\r\n\r\n%s", len(inner), inner))
	for _, r := range d.vault.got() {
		if r.method == "DELETE" {
			t.Fatalf("a smuggled request was forwarded: %+v", r)
		}
	}
}

func TestEveryPathSaysWhichMethodsItTakes(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) { c.Limits.Address.Count = 0 })
	for path, e := range endpoints(newRouter(routeTable())) {
		path = strings.NewReplacer("{id}", strings.Repeat("a", 24), "{key}", "k", "{code}", "NOT_FOUND", "{asset}",
			"app.js").Replace(path)
		r := d.do(ask{method: "OPTIONS", path: path})
		if r.status != 204 || r.header.Get("Allow") != e.allow || !strings.HasSuffix(e.allow, "OPTIONS") {
			t.Errorf("OPTIONS %s: %d, Allow %q, want %q", path, r.status, r.header.Get("Allow"), e.allow)
		}
		for _, m := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "FROB"} {
			if e.byMethod[m] != nil {
				continue
			}
			if r := d.do(ask{method: m, path: path}); r.status != 405 || r.code != "METHOD_NOT_ALLOWED" ||
				r.header.Get("Allow") != e.allow {
				t.Errorf("%s %s: %d %s, Allow %q", m, path, r.status, r.code, r.header.Get("Allow"))
			}
		}
	}
}

// endpoints walks the router.
func endpoints(r *router) map[string]*endpoint {
	out := map[string]*endpoint{}
	var walk func(*node)
	walk = func(n *node) {
		if n == nil {
			return
		}
		if n.here != nil {
			out[n.here.template] = n.here
		}
		for _, c := range n.exact {
			walk(c)
		}
		walk(n.param)
	}
	walk(&r.root)
	return out
}

func TestEveryPublishedOperationIsRouted(t *testing.T) {
	t.Parallel()
	known := endpoints(newRouter(routeTable()))
	for _, line := range published(t) {
		method, path, _ := strings.Cut(line, " ")
		if path == "/docs/style.css" || path == "/docs/app.js" {
			path = "/docs/{asset}"
		}
		if e := known[path]; e == nil || e.byMethod[method] == nil {
			t.Errorf("%s is documented but not routed", line)
		}
	}
}

func TestHeadAnswersLikeGetWithoutABody(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	ada := d.users.signIn(t)
	d.vault.answers(func(w http.ResponseWriter, r seen) {
		writeJSON(w, 200, map[string]any{"statusCode": 200, "data": r.method})
	})
	raw := d.wire("HEAD /api/v1/vault/keys HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: Bearer " +
		ada.token + "\r\n\r\n")
	head, body, _ := strings.Cut(raw, "\r\n\r\n")
	if !strings.HasPrefix(head, "HTTP/1.1 200") || body != "" || !strings.Contains(head, "Content-Length: ") {
		t.Errorf("got %q", raw)
	}
	raw = d.wire("HEAD /nowhere HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	if head, body, _ := strings.Cut(raw, "\r\n\r\n"); !strings.HasPrefix(head, "HTTP/1.1 404") || body != "" {
		t.Errorf("got %q", raw)
	}
}

func TestAnEmptyBodyWithAContentTypeIsFineEverywhere(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	ada := d.users.signIn(t, func(s *sessionstate.State) { s.Admin = true })
	for path, e := range endpoints(newRouter(routeTable())) {
		path = strings.NewReplacer("{id}", strings.Repeat("a", 24), "{key}", "k", "{code}", "NOT_FOUND", "{asset}",
			"app.js").Replace(path)
		for method, rt := range e.byMethod {
			if rt.rate != noClass {
				continue
			}
			if r := d.do(ask{method: method, path: path, bearer: ada.token}); r.status >= 400 && rt.access != anyRealm {
				t.Errorf("%s %s: %d %s", method, path, r.status, r.raw)
			}
		}
	}
}

func FuzzRoutes(f *testing.F) {
	for path := range endpoints(newRouter(routeTable())) {
		f.Add([]byte(path))
	}
	f.Add([]byte("/api/v1/vault/keys/%2e%2e"))
	f.Add([]byte("//"))
	r := newRouter(routeTable())
	f.Fuzz(func(t *testing.T, path []byte) {
		fault, e := edge.CheckPath(path), r.find(path)
		if fault == edge.PathAmbiguous || e == nil {
			return
		}
		got, want := strings.Split(string(path), "/"), strings.Split(e.template, "/")
		if len(got) != len(want) {
			t.Fatalf("%q led to %s", path, e.template)
		}
		for i := range want {
			if got[i] != want[i] && (!strings.HasPrefix(want[i], "{") || got[i] == "" || got[i] == "." || got[i] == "..") {
				t.Fatalf("%q led to %s", path, e.template)
			}
		}
	})
}
