package gateway

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/gateway/internal/edge"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// TestTheLogTellsWhoAskedForWhat: the address is the client's, not the proxy's.
func TestTheLogTellsWhoAskedForWhat(t *testing.T) {
	t.Parallel()
	var log testkit.Buffer
	d := newTestGateway(t)
	d.log = slog.New(slog.NewTextHandler(&log, nil))
	d.settings(func(c *Config) { c.Edge.TrustedProxies = edge.TextList{"127.0.0.1"} })
	d.start()
	ada := d.users.signIn(t)
	for _, c := range []struct {
		ask   ask
		route string
	}{
		{ask{method: "GET", path: "/api/v1/vault/keys/my-key", bearer: ada.token}, "/api/v1/vault/keys/{key}"},
		{ask{method: "POST", path: "/api/v1/users/auth/login", body: `{}`}, "/api/v1/users/auth/login"},
		{ask{method: "GET", path: "/api/v1/users/me"}, "/api/v1/users/me"},
		{ask{method: "GET", path: "/no/such/path"}, "(none)"},
		{ask{method: "GET", path: "/docs"}, "/docs"},
		{ask{method: "BREW", path: "/pot"}, "(none)"},
		{ask{method: "GET", path: "/x//y"}, "(none)"},
	} {
		c.ask.header = map[string]string{"X-Request-ID": "r1", "X-Forwarded-For": "2001:db8::7"}
		before := len(log.String())
		d.do(c.ask)
		var line string
		d.until("the line of "+c.ask.path, func() bool {
			for l := range strings.Lines(log.String()[before:]) {
				if strings.Contains(l, "msg=request ") {
					line = l
				}
			}
			return line != ""
		})
		if !strings.Contains(line, " client_addr=2001:db8::7") || !strings.Contains(line, " route="+c.route+" ") {
			t.Errorf("%s %s: %s", c.ask.method, c.ask.path, line)
		}
		for _, secret := range []string{"my-key", "such", "pot"} {
			if strings.Contains(line, secret) {
				t.Errorf("the line holds the path: %s", line)
			}
		}
	}
}
