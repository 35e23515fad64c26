package gateway

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

func TestARequestReachesItsServiceWithASignedIdentityAndNothingInternalFromTheClient(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	ada := d.users.signIn(t, func(s *sessionstate.State) { s.Admin, s.VaultQuota = true, 7 })
	r := d.do(ask{method: "PATCH", path: "/api/v1/vault/keys/x.y?realm_id=%61aaaaaaaaaaaaaaaaaaaaaaa", bearer: ada.token,
		body: `{"value":"v"}`, header: map[string]string{
			"X-Realmgate-Identity": "forged", "X-Realmgate-On-User": "x", "Connection": "keep-alive, X-Hop", "X-Hop": "1",
			"Cookie":     "c=1",
			"User-Agent": "tester/1", "X-Request-ID": "req-1", "Accept": "application/json",
		}})
	if r.status != 200 || r.message != "ok from vault-svc" {
		t.Fatalf("got %d %s", r.status, r.raw)
	}
	if got := r.header.Get("X-Request-ID"); got != "req-1" {
		t.Errorf("X-Request-ID = %q", got)
	}
	got := d.vault.got()
	if len(got) != 1 {
		t.Fatalf("the service got %d requests", len(got))
	}
	q := got[0]
	if q.method != "PATCH" || q.target != "/api/v1/vault/keys/x.y?realm_id=%61aaaaaaaaaaaaaaaaaaaaaaa" ||
		q.body != `{"value":"v"}` {
		t.Errorf("forwarded %s %s %q", q.method, q.target, q.body)
	}
	want := auth.Identity{Kind: auth.Session, UserID: ada.userID, SessionID: ada.sessionID, Admin: true, VaultQuota: 7,
		ClientAddr: "127.0.0.1"}
	if q.identity.Kind != want.Kind || q.identity.UserID != want.UserID || q.identity.SessionID != want.SessionID ||
		!q.identity.Admin ||
		q.identity.VaultQuota != 7 || q.identity.ClientAddr != want.ClientAddr {
		t.Errorf("identity %+v, want %+v", q.identity, want)
	}
	for _, name := range []string{"X-Realmgate-On-User", "X-Hop", "Cookie", "Authorization"} {
		if v, ok := q.header[http.CanonicalHeaderKey(name)]; ok {
			t.Errorf("%s was forwarded: %q", name, v)
		}
	}
	if q.header.Get("User-Agent") != "tester/1" || q.header.Get("X-Request-ID") != "req-1" ||
		q.header.Get("Accept") != "application/json" {
		t.Errorf("headers %v", q.header)
	}
}

func TestAnsweredRequestsOfAUserBecomeEvents(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	events := d.listen()
	ada := d.users.signIn(t)
	realm := strings.Repeat("ab", 12)
	d.vault.answers(func(w http.ResponseWriter, r seen) {
		w.Header().Set("X-Realmgate-On-User", strings.Repeat("c", 24))
		writeJSON(w, 404, map[string]any{"statusCode": 404, "code": "VAULT_KEY_NOT_FOUND"})
	})
	r := d.do(ask{method: "GET", path: "/api/v1/vault/keys/nope?realm_id=" + strings.ToUpper(realm), bearer: ada.token,
		header: map[string]string{"User-Agent": "t\xff1", "X-Request-ID": "req-1"}})
	if r.status != 404 || r.header.Get("X-Realmgate-On-User") != "" {
		t.Errorf("got %d, on user %q", r.status, r.header.Get("X-Realmgate-On-User"))
	}
	d.do(ask{method: "GET", path: "/nowhere?secret=1", bearer: ada.token})
	d.do(ask{method: "POST", path: "/api/v1/vault/keys", bearer: ada.token})
	d.do(ask{method: "GET", path: "/api/v1/users", bearer: ada.token})
	d.do(ask{method: "GET", path: "/api/v1/auth/config", bearer: ada.token})
	d.do(ask{method: "GET", path: "/api/v1/users/me"})
	d.until("4 events", func() bool { return len(events.of(ada.userID)) >= 4 })
	got := map[string]int{}
	for _, e := range events.of(ada.userID) {
		got[e.Method+" "+e.Path] = e.Status
		if e.Auth != event.AuthSession || e.AuthID != ada.sessionID || e.RequestID == "" || e.DurationMS < 0 {
			t.Errorf("credential: %+v, want that of session %s", e, ada.sessionID)
		}
		if e.IPAddress != "127.0.0.1" {
			t.Errorf("address %q", e.IPAddress)
		}
		if strings.HasSuffix(e.Path, "nope") &&
			(e.RealmID != realm || e.OnUserID != strings.Repeat("c", 24) || e.UserAgent != "t\uFFFD1" ||
				e.RequestID != "req-1") {
			t.Errorf("event %+v", e)
		}
	}
	want := map[string]int{"GET /api/v1/vault/keys/nope": 404, "GET /nowhere": 404, "POST /api/v1/vault/keys": 405,
		"GET /api/v1/users": 403}
	if len(got) != len(want) {
		t.Errorf("events %v, want %v", got, want)
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: %d, want %d", k, got[k], v)
		}
	}
}

// TestAServiceWithOtherInternalKeysSignsNobodyOut: its 401 is about the gateway, and a client would
// take it for the end of its session.
func TestAServiceWithOtherInternalKeysSignsNobodyOut(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	ada := d.users.signIn(t)
	other, err := auth.NewInternalKeys("an internal key that the gateway does not know", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	d.vault.keys = other
	if r := d.do(ask{method: "GET", path: "/api/v1/vault/keys/k", bearer: ada.token}); r.status != 503 ||
		r.code != "SERVICE_UNAVAILABLE" || r.header.Get(auth.RefusedHeader) != "" {
		t.Errorf("got %d %s %v", r.status, r.raw, r.header)
	}
}
