package httpx

import (
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// TestAServiceLogsTheAddressOfTheClient and not the gateway's, and the route without its
// parameters.
func TestAServiceLogsTheAddressOfTheClient(t *testing.T) {
	t.Parallel()
	var log testkit.Buffer
	keys, err := auth.NewInternalKeys("an internal key that is long enough for a test", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{Name: "test", Log: slog.New(slog.NewTextHandler(&log, nil)), Identities: keys})
	s.Get("/things/:id", func(c *fiber.Ctx) error { return OK(c, "fine", nil) })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	header, err := keys.Sign(auth.Identity{Kind: auth.Anonymous, ClientAddr: "192.0.2.7"}, "test")
	if err != nil {
		t.Fatal(err)
	}
	for path, status := range map[string]int{"/things/secret": 200, "/nothing": 404} {
		if a := request(t, ln.Addr().String(), "GET", path, "", auth.IdentityHeader, header); a.status != status {
			t.Fatalf("%s: %d", path, a.status)
		}
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	text := log.String()
	if strings.Count(text, " client_addr=192.0.2.7 ") != 2 || !strings.Contains(text, " route=/things/:id ") ||
		strings.Contains(text, "secret") {
		t.Errorf("the log says:\n%s", text)
	}
}

// TestUnparsedRequestsAreCountedAndLogged, a flood of them with a bounded number of lines a second.
func TestUnparsedRequestsAreCountedAndLogged(t *testing.T) {
	t.Parallel()
	var log testkit.Buffer
	metrics := prometheus.NewRegistry()
	s := New(Options{Name: "test", Log: slog.New(slog.NewTextHandler(&log, nil)), Metrics: metrics,
		ReadTimeout: time.Second})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	send := func(request string) string {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, request)
		_ = c.SetReadDeadline(time.Now().Add(testkit.Patience))
		answer, _ := io.ReadAll(c)
		return string(answer)
	}
	start := time.Now()
	for request, status := range map[string]string{
		"GET /secret\r\n\r\n": "400", "\x16\x03\x01\r\n\r\n": "400",
		"GET /secret HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("a", 20<<10) + "\r\n\r\n": "431",
		"GET /secret HTTP/1.1\r\nHo": "408",
	} {
		if answer := send(request); !strings.HasPrefix(answer, "HTTP/1.1 "+status) {
			t.Errorf("%.20q: got %.60q, want %s", request, answer, status)
		}
	}
	const flood = 300
	for range flood {
		send("junk\r\n\r\n")
	}
	most := unparsedBurst + unparsedPerSecond*int(time.Since(start)/time.Second+1)
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	text := log.String()
	lines := strings.Count(text, "msg=request ")
	if lines < 4 || lines > most || strings.Contains(text, "secret") || strings.Contains(text, "level=ERROR") ||
		strings.Count(text, " method=OTHER route=(unparsed) status=") != lines ||
		strings.Count(text, " client_addr=127.0.0.1 ") != lines {
		t.Errorf("%d lines, want 4 to %d:\n%.2000s", lines, most, text)
	}
	for status, want := range map[string]float64{"400": 2 + flood, "408": 1, "431": 1} {
		if got := counted(t, metrics, status); got != want {
			t.Errorf("status %s: counted %v, want %v", status, got, want)
		}
	}
}

// counted returns how often the status was counted.
func counted(t *testing.T, metrics *prometheus.Registry, status string) (n float64) {
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				if family.GetName() == "http_requests_total" && label.GetName() == "status" &&
					label.GetValue() == status {
					n += m.GetCounter().GetValue()
				}
			}
		}
	}
	return n
}

// TestAnAcceptHeaderOfThousandsOfTypesIsCheap checks that the parameters of a type are parsed only
// when the type may be that of problems.
func TestAnAcceptHeaderOfThousandsOfTypesIsCheap(t *testing.T) {
	list := strings.Repeat("text/html;q=0.5,a/b; c=d,", 600)
	if n := testing.AllocsPerRun(10, func() {
		if names(list, typeProblem) {
			t.Error("problems are wanted")
		}
	}); n > 2 {
		t.Errorf("%v allocations, want at most 2", n)
	}
	if !names(list+"Application/Problem+JSON; q=0.1", typeProblem) {
		t.Error("problems at the end of the list are not wanted")
	}
}
