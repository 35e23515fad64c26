package gateway

import (
	"fmt"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

func TestARestrictedTokenSeesItsOwnRealmsAlone(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	a, b := strings.Repeat("a", 24), strings.Repeat("b", 24)
	for _, s := range []*fakeService{d.vault, d.activity} {
		s.answers(func(w httpWriter, _ seen) {
			writeJSON(w, 200, internalapi.RealmList{Realms: []internalapi.RealmUsage{
				{RealmID: a, Count: 2, SizeBytes: 10}, {RealmID: b, Count: 1, SizeBytes: 5},
			}})
		})
	}
	for name, c := range map[string]struct {
		realms []string
		want   string
	}{
		"restricted to a":            {[]string{a}, fmt.Sprintf(`{"realm_ids":[%q],"total":1,`, a)},
		"restricted to an empty one": {[]string{a, strings.Repeat("c", 24)}, fmt.Sprintf(`{"realm_ids":[%q],"total":1,`, a)},
		"not restricted":             {nil, fmt.Sprintf(`{"realm_ids":[%q,%q],"total":2,`, a, b)},
	} {
		token, _ := d.users.authToken(func(s *sessionstate.State) { s.Token.Grant.Realms = c.realms })
		r := d.do(ask{method: "GET", path: "/api/v1/realms?include_usage=true", authorization: token, host: a + ".h"})
		if r.status != 200 || !strings.Contains(r.raw, c.want) || strings.Count(r.raw, b) != 2*strings.Count(c.want, b) {
			t.Errorf("%s: got %d %s, want %s", name, r.status, r.raw, c.want)
		}
	}
}
