package httpx

import (
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// TestAServiceLogsTheAddressOfTheClient, not that of the gateway, and the route without its parameters.
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
	if strings.Count(text, " client_addr=192.0.2.7 ") != 2 || !strings.Contains(text, " route=/things/:id ") || strings.Contains(text, "secret") {
		t.Errorf("the log says:\n%s", text)
	}
}

// TestAListOfThousandsOfTypesIsLookedThroughCheaply: what an Accept header names is parsed only where
// it may be the type of problems.
func TestAListOfThousandsOfTypesIsLookedThroughCheaply(t *testing.T) {
	list := strings.Repeat("text/html;q=0.5,a/b; c=d,", 600)
	if n := testing.AllocsPerRun(10, func() {
		if wantsProblem(list) {
			t.Error("problems are wanted")
		}
	}); n > 2 {
		t.Errorf("%v allocations, want at most 2", n)
	}
	if !wantsProblem(list + "Application/Problem+JSON; q=0.1") {
		t.Error("problems at the end of the list are not wanted")
	}
}
