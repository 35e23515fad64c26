package gateway

import (
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// announceSealed tells the gateways about a change as users-svc does that has these keys.
func (d *testGateway) announceSealed(keys *auth.InternalKeys, userID string, version int64) {
	d.t.Helper()
	conn, err := bus.Connect(d.cfg.Bus, "test", testkit.Log(d.t))
	if err != nil {
		d.t.Fatal(err)
	}
	defer conn.Close()
	cache := sessionstate.NewCache(nil, keys)
	d.until("the change is announced", func() bool {
		return cache.Announce(sessionstate.Change{UserID: userID, Version: version}, conn.Announce) == nil
	})
}

func TestAChangeOfAnotherInstallationShutsNobodyOut(t *testing.T) {
	t.Parallel()
	d := neverForgets(t)
	ada := d.users.signIn(t)
	status := func() int { return d.do(ask{method: "GET", path: "/api/v1/vault/keys", bearer: ada.token}).status }
	if got := status(); got != 200 {
		t.Fatalf("got %d", got)
	}
	other, err := auth.NewInternalKeys("the internal key of another installation on this server", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	d.announceSealed(other, ada.userID, 99)
	// A change of its own comes after it on the same server, so what is in force then has heard
	// both.
	d.users.set(ada.sessionID, sessionstate.State{Alive: true, Banned: true, UserID: ada.userID, SessionID: ada.sessionID,
		Version: 2})
	d.announceSealed(testKeys(t, "users-svc"), ada.userID, 2)
	d.until("its own change is in force", func() bool { return status() != 200 })
	if got := status(); got != 403 {
		t.Errorf("got %d, want the ban and not 503", got)
	}
}
