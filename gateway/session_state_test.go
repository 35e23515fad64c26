package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/redisdb"
	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// announce tells the gateways about a change as users-svc does.
func (d *testGateway) announce(userID string, version int64) {
	d.t.Helper()
	conn, err := bus.Connect(d.cfg.Bus, "test", testkit.Log(d.t))
	if err != nil {
		d.t.Fatal(err)
	}
	defer conn.Close()
	raw, _ := json.Marshal(sessionstate.Change{UserID: userID, Version: version})
	d.until("the change is announced", func() bool { return conn.Announce(sessionstate.Subject, raw) == nil })
	time.Sleep(20 * time.Millisecond) // the connection writes in the background
}

// neverForgets is a gateway whose memory of session states does not end within the test.
func neverForgets(t *testing.T) *testGateway {
	t.Helper()
	d := newTestGateway(t)
	d.settings()
	d.cfg.Identity.SessionTTL = time.Hour // more than the settings let an operator say
	d.start()
	return d
}

func TestAnAnnouncedChangeActsBeforeTheMemoryForgets(t *testing.T) {
	t.Parallel()
	d := neverForgets(t)
	ada := d.users.signIn(t)
	if r := d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token}); r.status != 200 {
		t.Fatalf("got %d %s", r.status, r.raw)
	}
	d.users.set(ada.sessionID, sessionstate.State{Alive: true, Banned: true, UserID: ada.userID, SessionID: ada.sessionID,
		Version: 2})
	d.announce(ada.userID, 2)
	d.until("the ban acts", func() bool {
		return d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token}).code == "ACCOUNT_BANNED"
	})
}

func TestAChangeIsInForceBeforeItsAnswerLeaves(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) { c.Identity.SessionTTL = 5 * time.Second })
	ada, root := d.users.signIn(t), d.users.signIn(t, func(s *sessionstate.State) { s.Admin = true })
	d.users.answers(func(w http.ResponseWriter, r seen) {
		if r.method == "PATCH" { // announced to nobody
			d.users.set(ada.sessionID, sessionstate.State{Alive: true, Banned: true, UserID: ada.userID,
				SessionID: ada.sessionID, Version: 2})
			w.Header().Set(sessionstate.ChangedHeader, "junk,"+ada.userID+":2")
		}
		d.users.serve(w, r)
	})
	if r := d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token}); r.status != 200 {
		t.Fatalf("got %d %s", r.status, r.raw)
	}
	r := d.do(ask{method: "PATCH", path: "/api/v1/users/" + ada.userID, bearer: root.token, body: `{"is_banned":true}`})
	if r.status != 200 || r.header.Get(sessionstate.ChangedHeader) != "" {
		t.Fatalf("got %d %s %v, want 200 without an internal header", r.status, r.raw, r.header)
	}
	if r := d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token}); r.code != "ACCOUNT_BANNED" {
		t.Errorf("right after the ban: got %d %s", r.status, r.raw)
	}
}

func TestAStaleStateInRedisIsNotUsedAfterAnAnnouncement(t *testing.T) {
	t.Parallel()
	d := startGateway(t, func(c *Config) { c.Identity.SessionTTL = 5 * time.Second })
	ada := d.users.signIn(t)
	rdb, err := redisdb.Open(redisdb.Config{URL: config.Secret(d.redis.URL())})
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	cache := sessionstate.NewCache(rdb, testKeys(t, "users-svc"))
	old := sessionstate.State{Alive: true, UserID: ada.userID, SessionID: ada.sessionID, Version: 1}
	if err := cache.Put(context.Background(), sessionstate.SessionKey(ada.sessionID), old); err != nil {
		t.Fatal(err)
	}
	if r := d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token}); r.status != 200 {
		t.Fatalf("got %d", r.status)
	}
	if d.users.asked != 0 {
		t.Errorf("users-svc was asked %d times although Redis knew", d.users.asked)
	}
	d.users.set(ada.sessionID, sessionstate.State{Alive: false, Version: 2})
	d.announce(ada.userID, 2) // users-svc could not reach Redis
	_ = cache.Put(context.Background(), sessionstate.SessionKey(ada.sessionID), old)
	d.until("the session is over", func() bool {
		return d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token}).code == "INVALID_TOKEN"
	})
}

func TestWithoutAnnouncementsAChangeActsWithinTheMemorysTime(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	ada := d.users.signIn(t)
	d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token})
	d.users.set(ada.sessionID, sessionstate.State{})
	d.until("the session is over", func() bool {
		return d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token}).status == 401
	})
}

func TestAGapInTheAnnouncementsDropsEverything(t *testing.T) {
	t.Parallel()
	d := neverForgets(t)
	ada := d.users.signIn(t)
	d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token})
	d.broker.Stop()
	d.users.set(ada.sessionID, sessionstate.State{}) // announced to nobody
	d.broker.Restart()
	d.until("the session is over", func() bool {
		return d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token}).status == 401
	})
}

func TestNobodyIsLetInWhenTheStateCannotBeKnown(t *testing.T) {
	t.Parallel()
	d := startGateway(t)
	ada := d.users.signIn(t)
	token, _ := d.users.authToken()
	d.redis.Stop()
	if r := d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token}); r.status != 200 {
		t.Fatalf("without Redis: %d %s", r.status, r.raw)
	}
	d.users.setDown(true)
	d.until("the memory has forgotten", func() bool {
		return d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token}).status == 503
	})
	for _, authorization := range []string{"Bearer " + ada.token, token, "Bearer " + d.users.signIn(t).token} {
		r := d.do(ask{method: "GET", path: "/api/v1/vault/keys", authorization: authorization})
		if r.status != 503 || r.code != "SERVICE_UNAVAILABLE" || r.header.Get("Retry-After") == "" {
			t.Errorf("got %d %s", r.status, r.raw)
		}
	}
	d.users.setDown(false)
	d.until("it works again", func() bool {
		return d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token}).status == 200
	})
}
