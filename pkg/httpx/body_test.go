package httpx

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
)

func TestAnAnswerWarnsOfFieldsThatItsHandlerDidNotAskFor(t *testing.T) {
	t.Parallel()
	addr, _ := serve(t, Options{Metrics: prometheus.NewRegistry()}, func(s *Server) {
		s.Post("/reads", func(c *fiber.Ctx) error {
			o, err := Body(c)
			if err != nil {
				return err
			}
			alias, _ := o.String("alias", 1, 10)
			return Created(c, "done", alias)
		})
		s.All("/ignores", func(c *fiber.Ctx) error { return OK(c, "done", nil) })
		s.Post("/internal", func(c *fiber.Ctx) error { return JSON(c, 200, map[string]int{}) })
	})
	const warned = `"warnings":["unknown field /emial was ignored"]`
	for _, c := range []struct{ name, method, path, body, want string }{
		{"a handler that reads", "POST", "/reads", `{"alias":"a","emial":1}`, warned},
		{"nothing unknown", "POST", "/reads", `{"alias":"a"}`, ""},
		{"no body", "POST", "/reads", "", ""},
		{"a handler that reads nothing", "DELETE", "/ignores", `{"emial":{"a":1}}`, warned},
		{"no object", "POST", "/ignores", `[1]`, ""},
		{"no JSON", "POST", "/ignores", `{"emial":`, ""},
		{"a body that means nothing", "GET", "/ignores", `{"emial":1}`, ""},
		{"an answer without an envelope", "POST", "/internal", `{"emial":1}`, ""},
	} {
		a := request(t, addr, c.method, c.path, c.body)
		if a.status >= 300 || !strings.Contains(a.body, c.want) ||
			c.want == "" && strings.Contains(a.body, "warnings") {
			t.Errorf("%s: got %d %s, want %s", c.name, a.status, a.body, c.want)
		}
	}
}

func TestABodyIsReadWithinItsLimitAndReserved(t *testing.T) {
	t.Parallel()
	const limit = 100_000
	type reservation struct{ size, most int }
	var reserved []reservation // of the one request under way
	addr, _ := serve(t, Options{Metrics: prometheus.NewRegistry(), StreamBody: true}, func(s *Server) {
		s.All("/", func(c *fiber.Ctx) error {
			body, err := ReadBody(c, limit, func(size, most int) error {
				reserved = append(reserved, reservation{size, most})
				return nil
			})
			if err != nil {
				return err
			}
			return OK(c, "done", len(body))
		})
	})
	for _, c := range []struct {
		name, method  string
		size, status  int
		chunked, read bool
		want          []reservation
	}{
		{"as long as it says", "POST", 70_000, 200, false, true, []reservation{{70_000, 70_000}}},
		{"at the limit", "POST", limit, 200, false, true, []reservation{{limit, limit}}},
		{"over the limit", "POST", limit + 1, 413, false, false, nil},
		{"chunked and small", "POST", 8 << 10, 200, true, true, []reservation{{8 << 10, limit}}},
		{"chunked", "POST", 8<<10 + 1, 200, true, true, []reservation{{8 << 10, limit}, {64 << 10, limit}}},
		{"chunked and over the limit", "POST", limit + 1, 413, true, false,
			[]reservation{{8 << 10, limit}, {64 << 10, limit}, {limit, limit}}},
		{"without meaning", "GET", 10, 200, false, false, nil},
	} {
		reserved = nil
		var body io.Reader = strings.NewReader(strings.Repeat("x", c.size))
		if c.chunked {
			body = io.MultiReader(body) // hides the length
		}
		req, _ := http.NewRequest(c.method, "http://"+addr+"/", body)
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != c.status ||
			c.read && !strings.Contains(string(answer), fmt.Sprintf(`"data":%d`, c.size)) ||
			!slices.Equal(reserved, c.want) {
			t.Errorf("%s: got %d %s with reservations %v, want %d and %v", c.name, res.StatusCode, answer, reserved,
				c.status, c.want)
		}
	}
}
