package gateway

import (
	"fmt"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/gateway/internal/edge"
)

// TestAServiceIsToldTheRealmAndAddressOfEachRequest although an identity that was signed a moment
// ago is used again.
func TestAServiceIsToldTheRealmAndAddressOfEachRequest(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) { c.Edge.TrustedProxies = edge.TextList{"127.0.0.1"} })
	ada := d.users.signIn(t)
	a, b := strings.Repeat("a", 24), strings.Repeat("b", 24)
	for _, path := range []string{"/api/v1/vault/keys", "/api/v1/auth/config"} { // of a user, and of anybody
		service := d.vault
		if strings.HasPrefix(path, "/api/v1/auth/") {
			service = d.users.fakeService
		}
		for _, c := range []struct{ realm, addr string }{{"", "192.0.2.1"}, {a, "192.0.2.1"}, {a, "192.0.2.2"},
			{b, "192.0.2.2"}, {"", "192.0.2.2"}, {"", "192.0.2.1"}} {
			r := d.do(ask{method: "GET", path: path, bearer: ada.token, host: strings.TrimPrefix(c.realm+".h", "."),
				header: map[string]string{"X-Forwarded-For": c.addr}})
			got := service.got()
			if r.status != 200 || len(got) != 1 {
				t.Fatalf("%s: got %d %s", path, r.status, r.raw)
			}
			if i := got[0].identity; i.Realm != c.realm || i.ClientAddr != c.addr {
				t.Errorf("%s: the service was told %s, want %s", path, fmt.Sprint(i.Realm, " ", i.ClientAddr),
					fmt.Sprint(c.realm, " ", c.addr))
			}
		}
	}
}
