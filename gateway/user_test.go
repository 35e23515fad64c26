package gateway

import (
	"fmt"
	"strings"
	"testing"

	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// TestTheLogOfAUserWhoDoesNotExistIsNotFound: activity-svc does not know which users there are.
func TestTheLogOfAUserWhoDoesNotExistIsNotFound(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	root := d.users.signIn(t, func(s *sessionstate.State) { s.Admin = true })
	for id, want := range map[string]string{root.userID: "200 ", unknownUser: "404 USER_NOT_FOUND",
		"x": "400 INVALID_ID_FORMAT", strings.ToUpper(unknownUser): "400 INVALID_ID_FORMAT", "auth": "200 "} {
		for _, rest := range []string{"/activity", "/activity/stats"} {
			r := d.do(ask{method: "GET", path: "/api/v1/users/" + id + rest, bearer: root.token})
			if got := fmt.Sprint(r.status, " ", r.code); got != want {
				t.Errorf("%s%s: got %s, want %s", id, rest, got, want)
			}
		}
	}
	d.users.setDown(true)
	if r := d.do(ask{method: "GET", path: "/api/v1/users/" + root.userID + "/activity",
		bearer: root.token}); r.status != 503 {
		t.Errorf("users-svc is down: got %d %s, want 503", r.status, r.raw)
	}
}
