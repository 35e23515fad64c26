package httpx

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// serve runs a server with routes until the test ends and returns its address.
func serve(t *testing.T, o Options, routes func(*Server)) (addr string, s *Server) {
	t.Helper()
	o.Name, o.Log = "test", testkit.Log(t)
	s = New(o)
	routes(s)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		if err := s.Stop(t.Context()); err != nil && !errors.Is(err, t.Context().Err()) {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String(), s
}

type answer struct {
	status int
	header http.Header
	body   string
	wire   struct {
		StatusCode           int
		Error, Message, Code string
		Data                 any
	}
}

func request(t *testing.T, addr, method, path, body string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: res.StatusCode, header: res.Header, body: string(raw)}
	_ = json.Unmarshal(raw, &a.wire)
	return a
}

func failing(s *Server) {
	s.Get("/ok", func(c *fiber.Ctx) error { return OK(c, "fine", nil) })
	s.Get("/panic", func(*fiber.Ctx) error { panic("a secret of ours") })
	s.Get("/internal", func(*fiber.Ctx) error { return errors.New("SELECT secret FROM table") })
	s.Get("/unavailable", func(*fiber.Ctx) error { return apperr.ServiceUnavailable(errors.New("10.0.0.1")) })
	s.Get("/limited", func(*fiber.Ctx) error { return apperr.RateLimitExceeded(90 * time.Second).WithLimit(10) })
	s.Get("/invalid", func(*fiber.Ctx) error { return apperr.InvalidField("/alias", "must be text") })
	s.Get("/unknown", func(*fiber.Ctx) error { return apperr.InvalidToken() })
	s.Get("/verify", func(*fiber.Ctx) error {
		return apperr.New(apperr.Unauthenticated, "EMAIL_NOT_VERIFIED",
			"Verify first").WithCodeInError().WithData(map[string]string{"email": "a@b.c"})
	})
	s.Post("/body", func(c *fiber.Ctx) error { return OK(c, "fine", len(c.Body())) })
}

func TestEveryKindOfFailureHasTheEnvelope(t *testing.T) {
	t.Parallel()
	addr, _ := serve(t, Options{}, failing)
	for _, c := range []struct {
		method, path, code string
		status             int
		header             string
	}{
		{"GET", "/panic", "INTERNAL_ERROR", 500, ""},
		{"GET", "/internal", "INTERNAL_ERROR", 500, ""},
		{"GET", "/unavailable", "SERVICE_UNAVAILABLE", 503, "Retry-After: 1"},
		{"GET", "/limited", "RATE_LIMITED", 429, "Retry-After: 90"},
		{"GET", "/invalid", "VALIDATION_ERROR", 400, ""},
		{"GET", "/unknown", "INVALID_TOKEN", 401, "Www-Authenticate: Bearer"},
		{"GET", "/nowhere", "NOT_FOUND", 404, ""},
		{"GET", "/ok/", "NOT_FOUND", 404, ""},
		{"GET", "/OK", "NOT_FOUND", 404, ""},
		{"POST", "/ok", "METHOD_NOT_ALLOWED", 405, "Allow: GET, HEAD"},
		{"FROB", "/ok", "METHOD_NOT_ALLOWED", 405, ""},
	} {
		a := request(t, addr, c.method, c.path, "")
		if a.status != c.status || a.wire.Code != c.code || a.wire.StatusCode != c.status || a.wire.Message == "" ||
			a.wire.Error != statusText(c.status) {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, a.status, a.body, c.status, c.code)
		}
		if a.header.Get("X-Request-ID") == "" || a.header.Get("Content-Type") != "application/json" ||
			strings.Contains(a.body, "secret") || strings.Contains(a.body, "10.0.0.1") {
			t.Errorf("%s %s: %v %s", c.method, c.path, a.header, a.body)
		}
		if name, value, ok := strings.Cut(c.header, ": "); ok && a.header.Get(name) != value {
			t.Errorf("%s %s: %s is %q, want %q", c.method, c.path, name, a.header.Get(name), value)
		}
	}
	if a := request(t, addr, "GET", "/ok", ""); a.status != 200 ||
		a.body != `{"statusCode":200,"message":"fine","data":null}` {
		t.Errorf("after a panic: %d %s", a.status, a.body)
	}
	if h := request(t, addr, "GET", "/limited", "").header; h.Get("RateLimit-Limit") != "10" ||
		h.Get("RateLimit-Remaining") != "0" || h.Get("RateLimit-Reset") != "90" {
		t.Errorf("a rate that is used up: %v", h)
	}
	if a := request(t, addr, "GET", "/verify", ""); a.wire.Error != "EMAIL_NOT_VERIFIED" ||
		fmt.Sprint(a.wire.Data) != "map[email:a@b.c]" {
		t.Errorf("a code that stands in error: %s", a.body)
	}
	if a := request(t, addr, "GET", "/invalid",
		""); fmt.Sprint(a.wire.Data) != "[map[instancePath:/alias message:must be text]]" {
		t.Errorf("violations: %s", a.body)
	}
}

func statusText(status int) string {
	if status == 413 {
		return "Payload Too Large" // as in the contract's source; net/http has another phrase
	}
	return http.StatusText(status)
}

func TestAClientThatAsksForProblemsGetsThem(t *testing.T) {
	t.Parallel()
	addr, _ := serve(t, Options{}, failing)
	a := request(t, addr, "GET", "/invalid", "", "Accept", "application/Problem+JSON, application/json;q=0.5",
		"X-Request-ID", "my-id.1")
	var p map[string]any
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatal(err)
	}
	if a.header.Get("Content-Type") != "application/problem+json" || p["type"] != "/docs/errors/VALIDATION_ERROR" ||
		p["status"] != 400.0 || p["instance"] != "my-id.1" ||
		p["code"] != "VALIDATION_ERROR" || p["title"] != "Bad Request" || p["detail"] == "" || p["errors"] == nil {
		t.Errorf("got %s %s", a.header.Get("Content-Type"), a.body)
	}
}

func TestOnlyAnAcceptHeaderOfProblemsGetsThem(t *testing.T) {
	t.Parallel()
	addr, _ := serve(t, Options{}, failing)
	for accept, want := range map[string]bool{
		"": false, "*/*": false, "application/json": false, "text/application/problem+json": false,
		"application/json, application/problem+json": true, "application/problem+json;q=0.1": true,
		"application/problem+json; charset=utf-8":                  true,
		"application/problem+json;q=0":                             false,
		"application/json, application/problem+json; q=0.000, */*": false,
	} {
		a := request(t, addr, "GET", "/invalid", "", "Accept", accept)
		if got := a.header.Get("Content-Type") == "application/problem+json"; got != want || a.status != 400 {
			t.Errorf("Accept %q: got %d %s, want a problem: %v", accept, a.status, a.header.Get("Content-Type"), want)
		}
	}
}

func TestASaneRequestIDIsKept(t *testing.T) {
	t.Parallel()
	addr, _ := serve(t, Options{}, failing)
	for sent, kept := range map[string]bool{"abc-1.2_3": true, "": false, "a b": false, "a\"b": false,
		strings.Repeat("a", 129): false, "é": false} {
		a := request(t, addr, "GET", "/ok", "", "X-Request-ID", sent)
		if got := a.header.Get("X-Request-ID"); (got == sent) != kept || got == "" {
			t.Errorf("%q came back as %q", sent, got)
		}
	}
}

func TestARefusedBodyIsAnsweredBeforeTheConnectionEnds(t *testing.T) {
	t.Parallel()
	addr, _ := serve(t, Options{BodyLimit: func(_, path []byte) int {
		if string(path) == "/body" {
			return 4 << 20
		}
		return 100
	}, MaxBody: 4 << 20}, func(s *Server) {
		failing(s)
		s.Post("/small", func(c *fiber.Ctx) error { return OK(c, "fine", len(c.Body())) })
	})
	for range 5 {
		if a := request(t, addr, "POST", "/body", strings.Repeat("x", 20<<20)); a.status != 413 ||
			a.wire.Code != "PAYLOAD_TOO_LARGE" || a.wire.Error != "Payload Too Large" {
			t.Fatalf("got %d %s", a.status, a.body)
		}
	}
	if a := request(t, addr, "POST", "/small?x=/body", strings.Repeat("x", 101)); a.status != 413 {
		t.Errorf("a smaller limit of another route: %d", a.status)
	}
	if a := request(t, addr, "POST", "/body", strings.Repeat("x", 4<<20)); a.status != 200 {
		t.Errorf("exactly the limit: %d %s", a.status, a.body)
	}
}

func TestAMalformedRequestIsAnsweredWithAnEnvelope(t *testing.T) {
	t.Parallel()
	addr, _ := serve(t, Options{}, failing)
	for sent, want := range map[string]string{
		"GET /ok HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("a", 20<<10) + "\r\n\r\n": "431 HEADERS_TOO_LARGE",
		"GET /ok HTTP/1.1\r\n\r\n": "400 BAD_REQUEST",
		"nonsense\r\n\r\n":         "400 BAD_REQUEST",
		"POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na": "400 BAD_REQUEST",
	} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, sent)
		_ = c.SetReadDeadline(time.Now().Add(testkit.Patience))
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("%.40q: %v", sent, err)
		}
		var e struct{ Code string }
		_ = json.NewDecoder(res.Body).Decode(&e)
		if got := fmt.Sprint(res.StatusCode, " ", e.Code); got != want || res.Header.Get("X-Request-ID") == "" {
			t.Errorf("%.40q: %s %v, want %s", sent, got, res.Header, want)
		}
		_ = c.Close()
	}
}

func TestAClientCannotCreateSeriesOfMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	addr, _ := serve(t, Options{Metrics: registry}, failing)
	for i := range 20 {
		for _, line := range []string{"FOO /nothing/%d HTTP/1.1\r\nHost: h", "GET /nothing/%d HTTP/1.1\r\nHost: h",
			"get /nothing/%d HTTP/1.1\r\nHost: h", "GET /nothing/%d HTTP/1.1",
			"FOO /nothing/%d HTTP/1.1\r\nHost: h\r\nContent-Length: x"} {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			_ = c.SetDeadline(time.Now().Add(testkit.Patience))
			_, _ = fmt.Fprintf(c, line+"\r\n\r\n", i)
			if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode < 400 {
				t.Errorf("%q: %v, %v", line, res, err)
			}
			_ = c.Close()
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if text := f.String(); strings.Contains(text, "nothing") || len(f.GetMetric()) > 20 {
			t.Errorf("%s has %d series: %.300s", f.GetName(), len(f.GetMetric()), text)
		}
	}
}

func TestServicesAnswerOnlyTheGateway(t *testing.T) {
	t.Parallel()
	keys, err := auth.NewInternalKeys("a key that is long enough for the test", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	addr, _ := serve(t, Options{Identities: keys}, func(s *Server) {
		s.Get("/who", func(c *fiber.Ctx) error { return OK(c, "fine", Caller(c).UserID) })
		s.Get("/admin", func(c *fiber.Ctx) error { _, err := Admin(c); return err })
		s.Get("/system", func(c *fiber.Ctx) error { return RequireSystem(c) })
	})
	sign := func(i auth.Identity, audience string) string {
		h, err := keys.Sign(i, audience)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	user := auth.Identity{Kind: auth.Session, UserID: strings.Repeat("a", 24)}
	for _, c := range []struct {
		path, identity string
		status         int
		code           string
	}{
		{"/who", "", 401, "MISSING_TOKEN"},
		{"/who", "forged", 401, "INVALID_TOKEN"},
		{"/who", sign(user, "another service"), 401, "INVALID_TOKEN"},
		{"/who", sign(user, "test"), 200, ""},
		{"/admin", sign(user, "test"), 403, "INSUFFICIENT_PERMISSIONS"},
		{"/admin", sign(auth.Identity{Kind: auth.Anonymous}, "test"), 401, "MISSING_TOKEN"},
		{"/system", sign(user, "test"), 401, "INVALID_TOKEN"},
		{"/nowhere", "", 401, "MISSING_TOKEN"},
	} {
		a := request(t, addr, "GET", c.path, "", auth.IdentityHeader, c.identity)
		if a.status != c.status || a.wire.Code != c.code {
			t.Errorf("%s with %.20q: %d %s", c.path, c.identity, a.status, a.body)
		}
		if refused := c.identity == "" || c.code == "INVALID_TOKEN" &&
			c.path == "/who"; (a.header.Get(auth.RefusedHeader) != "") != refused {
			t.Errorf("%s with %.20q: says whose fault it is: %v, want %v", c.path, c.identity, !refused, refused)
		}
	}
}

// TestAStopAnswersEveryRequestThatWasTaken has clients that cannot send a POST twice. Each POST
// must be answered, or fail before the server has read it.
func TestAStopAnswersEveryRequestThatWasTaken(t *testing.T) {
	t.Parallel()
	var taken, answered atomic.Int64
	addr, s := serve(t, Options{}, func(s *Server) {
		s.Post("/count", func(c *fiber.Ctx) error {
			taken.Add(1)
			time.Sleep(time.Millisecond)
			return OK(c, "fine", nil)
		})
	})
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			for {
				res, err := client.Post("http://"+addr+"/count", "application/json", strings.NewReader("{}"))
				if err != nil {
					return // the listener is closed, and no handler has run
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				answered.Add(1)
			}
		})
	}
	time.Sleep(100 * time.Millisecond)
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	wait.Wait()
	if taken.Load() != answered.Load() || answered.Load() == 0 {
		t.Errorf("%d taken, %d answered", taken.Load(), answered.Load())
	}
}
