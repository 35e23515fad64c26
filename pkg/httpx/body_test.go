package httpx

import (
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
		if a.status >= 300 || !strings.Contains(a.body, c.want) || c.want == "" && strings.Contains(a.body, "warnings") {
			t.Errorf("%s: got %d %s, want %s", c.name, a.status, a.body, c.want)
		}
	}
}
