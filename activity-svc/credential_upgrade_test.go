package activity

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// previousRequest is the event as the previous release knows it.
type previousRequest struct {
	ID        string `json:"id"`
	UserID    string `json:"user_id"`
	RealmID   string `json:"realm_id"`
	Method    string `json:"method"`
	Path      string `json:"path"`
	Status    int    `json:"status"`
	IPAddress string `json:"ip"`
	UserAgent string `json:"ua"`
}

// TestRecordsOfBothReleasesStandInOneLog: gateways and replicas of both releases, in any
// combination, during and after a rolling upgrade. What a gateway or a replica of the previous
// release was part of has no credential.
func TestRecordsOfBothReleasesStandInOneLog(t *testing.T) {
	t.Parallel()
	h := prepare(t)
	h.cfg.DB.URL = config.Secret(testkit.Postgres(t))
	s := openStore(t, h.cfg.DB.URL.Reveal())
	if err := db.Migrate(t.Context(), s.pool, schema, migrationFiles, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	user := newUser()
	full := func(requestID string) event.Request {
		e := at(time.Now(), user, "GET", 200)
		e.RequestID, e.DurationMS, e.Auth, e.AuthID = requestID, 0, event.AuthToken, id.New(time.Now())
		return e
	}
	// Of a new gateway, stored by a replica of the previous release.
	encoded, err := full("new gateway, old replica").Encode()
	if err != nil {
		t.Fatal(err)
	}
	var known previousRequest
	if err := json.Unmarshal(encoded, &known); err != nil {
		t.Fatal(err)
	}
	old := at(time.Now(), user, "GET", 200)
	old.ID = known.ID
	rows := recordsOf(old)
	if err := s.makePartitions(t.Context(), daysOf(rows)); err != nil {
		t.Fatal(err)
	}
	copyAsPrevious(t, s, rows)
	// Of a gateway of the previous release, and of a new one, stored by this release.
	h.run()
	oldGateway, newGateway := at(time.Now(), user, "GET", 200), full("both new")
	h.publish(oldGateway, newGateway)
	h.publishRaw("the old replica's message again", encoded)
	h.drained()
	h.agrees(3)
	for _, r := range h.get(user, logPath).records(t) {
		got := fmt.Sprint(r.RequestID != nil, r.DurationMS != nil, r.Auth != nil, r.AuthID != nil)
		want := fmt.Sprint(r.ID == newGateway.ID, r.ID == newGateway.ID, r.ID == newGateway.ID, r.ID == newGateway.ID)
		if got != want {
			t.Errorf("record %s has fields %s, want %s", r.ID, got, want)
		}
		if r.ID == newGateway.ID && (*r.RequestID != "both new" || *r.DurationMS != 0 || *r.Auth != event.AuthToken ||
			*r.AuthID != newGateway.AuthID) {
			t.Errorf("got %+v, want the credential of %+v", r, newGateway)
		}
	}
}
