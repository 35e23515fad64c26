package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/testkit"
	"github.com/realmgate/realmgate/vault-svc/internal/store"
)

// expire ends a user's items and trash as if their time had come.
func (s *stack) expire(userID string) {
	s.t.Helper()
	for _, sql := range []string{`UPDATE vault_items SET expires_at = now() - interval '1 s'
		WHERE user_id = $1 AND expires_at IS NOT NULL`,
		`UPDATE vault_trash SET restorable_until = now() - interval '1 s' WHERE user_id = $1`} {
		if _, err := s.pool.Exec(context.Background(), sql, userID); err != nil {
			s.t.Fatal(err)
		}
	}
}

// count returns the number of rows of a table.
func (s *stack) count(table string) (n int) {
	s.t.Helper()
	if err := s.pool.QueryRow(context.Background(), `SELECT count(*) FROM `+table).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func TestAnExpiredKeyIsAbsentEverywhereAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	u := within(user(), 1000)
	temporary := []byte(`{"value":"` + strings.Repeat("x", 900) + `","ttl":"1h"}`)
	s.call(u, "PUT", key, temporary)
	etag := s.call(u, "PUT", key, temporary).header.Get("ETag")
	s.call(u, "PUT", key+"2", []byte(`{"value":"","ttl":"1h"}`))
	s.call(u, "DELETE", key+"2?recoverable=true", nil)
	s.expire(u.UserID)
	for _, c := range []struct{ method, path string }{{"GET", key}, {"DELETE", key}, {"GET", key + "/versions"},
		{"GET", key + "?version=1"}, {"POST", key + "/restore"}, {"POST", key + "2/restore"}, {"GET", key + "2/versions"},
		{"DELETE", trashPath + "/k2"}} {
		if r := s.call(u, c.method, c.path, nil); r.status != 404 {
			t.Errorf("%s %s: got %d %s, want 404", c.method, c.path, r.status, r.raw)
		}
	}
	if r := s.call(u, "GET", "/api/v1/vault/keys", nil); string(r.Data) != "[]" || s.trashed(u, "") != "" {
		t.Errorf("list: got %s, trash %s", r.Data, s.trashed(u, ""))
	}
	var stats Stats
	r := s.call(u, "GET", "/api/v1/vault/stats", nil)
	if err := json.Unmarshal(r.Data, &stats); err != nil || stats.TotalKeys != 0 || stats.TotalSizeBytes != 0 ||
		*stats.UsedPercentage != 0 || *stats.HistoryBytes != 0 || *stats.TrashBytes != 0 {
		t.Errorf("stats: got %s", r.Data)
	}
	s.refused("write with the tag of an expired key", s.call(u, "PUT", key, body("v"), "If-Match: "+etag), "")
	again := s.call(u, "PUT", key+"-other", temporary)
	if again.status != 201 {
		t.Errorf("the quota counts an expired key: got %d %s", again.status, again.raw)
	}
	s.call(u, "DELETE", key+"-other", nil)
	created := s.call(u, "PUT", key, body("v"), "If-None-Match: *")
	if got := created.item(t); created.status != 201 || got.Version != 1 || got.ExpiresAt != nil {
		t.Errorf("create again: got %d %s", created.status, created.raw)
	}
	s.checkAccounts()
}

// TestExpiredKeysAreRemovedOnceByTwoReplicas waits for the periodic removal.
func TestExpiredKeysAreRemovedOnceByTwoReplicas(t *testing.T) {
	t.Parallel()
	s := start(t)
	run(t, s.cfg)
	u := user()
	for n := range 20 {
		path := fmt.Sprint(key, n)
		s.call(u, "PUT", path, []byte(`{"value":"a","ttl":"1h"}`))
		s.call(u, "PUT", path, []byte(`{"value":"b"}`))
		if n < 5 {
			s.call(u, "DELETE", path+"?recoverable=true", nil)
		}
	}
	s.put(u, "stays", "", "v")
	s.expire(u.UserID)
	deadline := time.Now().Add(testkit.Patience)
	for s.count("vault_items") > 1 || s.count("vault_trash") > 0 || s.count("vault_versions") > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%d items, %d in the trash and %d versions remain", s.count("vault_items"), s.count("vault_trash"),
				s.count("vault_versions"))
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.checkAccounts()
	if got := strings.Count(s.changes(u.UserID), "expire"); got != 15 {
		t.Errorf("got %d expire events, want 15, one for each existing key: %s", got, s.changes(u.UserID))
	}
}

func TestChangesOfMoreThanADayAreDropped(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	for n := range 5 {
		s.put(u, "k", "", fmt.Sprint(n))
	}
	if _, err := s.pool.Exec(t.Context(), `UPDATE vault_changes SET at = at - interval '25 h' WHERE revision < 4`); err != nil {
		t.Fatal(err)
	}
	v := &Vault{items: store.New(s.pool)}
	if err := v.dropChanges(t.Context(), db.NewClock(s.pool, time.Now, testkit.Log(t), nil)); err != nil {
		t.Fatal(err)
	}
	if got := s.changes(u.UserID); got != "4 put k 4, 5 put k 5" {
		t.Errorf("got %s", got)
	}
}
