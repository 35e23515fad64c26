package vault

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
)

const trashPath = "/api/v1/vault/trash"

// trashed returns the keys and versions in a realm's trash.
func (s *stack) trashed(i auth.Identity, query string) string {
	s.t.Helper()
	r := s.call(i, "GET", trashPath+query, nil)
	var list []struct {
		Key       string    `json:"key"`
		RealmID   string    `json:"realm_id"`
		Version   int64     `json:"version"`
		SizeBytes int64     `json:"size_bytes"`
		DeletedAt time.Time `json:"deleted_at"`
		Until     time.Time `json:"restorable_until"`
	}
	if err := json.Unmarshal(r.Data, &list); err != nil || r.status != 200 {
		s.t.Fatalf("trash: got %d %s (%v)", r.status, r.raw, err)
	}
	var out []string
	for _, e := range list {
		if !e.Until.After(e.DeletedAt) || query != "" && "?realm_id="+e.RealmID != query {
			s.t.Errorf("got %+v", e)
		}
		out = append(out, fmt.Sprint(e.Key, ":", e.Version, ":", e.SizeBytes))
	}
	return strings.Join(out, " ")
}

// changes returns the events of a user in order, as "revision event key version".
func (s *stack) changes(userID string) string {
	s.t.Helper()
	rows, err := s.pool.Query(s.t.Context(), `SELECT revision, event, key, number FROM vault_changes
		WHERE user_id = $1 ORDER BY revision`, userID)
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var revision, number int64
		var event, key string
		if err := rows.Scan(&revision, &event, &key, &number); err != nil {
			s.t.Fatal(err)
		}
		out = append(out, fmt.Sprint(revision, " ", event, " ", key, " ", number))
	}
	return strings.Join(out, ", ")
}

func TestADeletedKeyComesBackFromTheTrash(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	s.call(u, "PUT", key, []byte(`{"value":"first","metadata":{"a":1}}`))
	created := s.put(u, "k", "", "second").CreatedAt
	r := s.call(u, "DELETE", key+"?recoverable=true", nil)
	if r.status != 200 || r.Message != "Vault key moved to the trash" ||
		!strings.Contains(string(r.Data), "restorable_until") {
		t.Fatalf("got %d %s", r.status, r.raw)
	}
	for _, method := range []string{"GET", "DELETE"} {
		if r := s.call(u, method, key, nil); r.status != 404 {
			t.Errorf("%s of a key in the trash: got %d", method, r.status)
		}
	}
	if r := s.call(u, "DELETE", key+"?recoverable=true", nil); r.status != 404 {
		t.Errorf("move it again: got %d", r.status)
	}
	if got := s.used(u.UserID); got != 0 {
		t.Errorf("the trash counts %d bytes towards the quota", got)
	}
	list := s.call(u, "GET", key+"/versions", nil).versions(t)
	if numbersOf(list) != "2 1" || !list[0].Deleted || !list[1].Deleted || list[0].Current {
		t.Errorf("versions in the trash: got %+v", list)
	}
	if got := s.call(u, "GET", key+"?version=1", nil); got.status != 200 || *got.item(t).Value != "first" {
		t.Errorf("version 1 in the trash: got %d %s", got.status, got.raw)
	}
	if got := s.trashed(u, ""); got != "k:2:13" {
		t.Errorf("the trash has %s", got)
	}
	s.checkAccounts()
	s.refused("restore if it exists", s.call(u, "POST", key+"/restore", nil, "If-Match: *"), "")
	r = s.call(u, "POST", key+"/restore", nil, "If-None-Match: *")
	if got := r.item(t); r.status != 200 || r.Message != "Vault key restored successfully" || *got.Value != "second" ||
		string(got.Metadata) != `{"a":1}` || got.Version != 3 || got.CreatedAt != created || r.header.Get("ETag") == "" {
		t.Errorf("restore: got %d %s", r.status, r.raw)
	}
	if got := s.trashed(u, ""); got != "" {
		t.Errorf("after the restore the trash has %s", got)
	}
	if got := numbersOf(s.call(u, "GET", key+"/versions", nil).versions(t)); got != "3 2 1" {
		t.Errorf("after the restore: got versions %s", got)
	}
	s.checkAccounts()
	s.call(u, "DELETE", key, nil)
	if got := s.changes(u.UserID); got != "1 put k 1, 2 put k 2, 3 delete k 2, 4 restore k 3, 5 delete k 3" {
		t.Errorf("got changes %s", got)
	}
}

func TestRestoringAnEarlierVersionMakesANewOne(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	if r := s.call(u, "POST", key+"/restore", nil); r.status != 404 || r.Code != "VAULT_KEY_NOT_FOUND" {
		t.Errorf("an absent key: got %d %s", r.status, r.raw)
	}
	large := strings.Repeat("l", 3<<20)
	s.put(u, "k", "", large)
	if r := s.call(u, "POST", key+"/restore", nil); r.status != 404 || r.Code != "VAULT_VERSION_NOT_FOUND" {
		t.Errorf("the only version: got %d %s", r.status, r.raw)
	}
	s.call(u, "PUT", key, []byte(`{"value":"b","metadata":{"m":2},"expires_at":"2999-01-01T00:00:00Z"}`))
	etag := s.call(u, "PUT", key, []byte(`{"value":"c","metadata":null}`)).header.Get("ETag")
	for _, c := range []struct {
		body, value, metadata string
		version               int64
	}{{"", "b", `{"m":2}`, 4}, {`{"version":1}`, large, "null", 5}, {`{"version":5}`, large, "null", 6}, {"{}", large, "null", 7}} {
		r := s.call(u, "POST", key+"/restore", []byte(c.body), "If-Match: "+etag)
		got := r.item(t)
		if r.status != 200 || *got.Value != c.value || string(got.Metadata) != c.metadata || got.Version != c.version ||
			got.ExpiresAt == nil || *got.ExpiresAt != "2999-01-01T00:00:00.000Z" || r.header.Get("ETag") == etag {
			t.Errorf("%s: got %d %.300s", c.body, r.status, r.raw)
		}
		s.refused("restore with an old tag", s.call(u, "POST", key+"/restore", nil, "If-Match: "+etag), r.header.Get("ETag"))
		etag = r.header.Get("ETag")
	}
	for b, code := range map[string]string{`{"version":99}`: "VAULT_VERSION_NOT_FOUND", `{"version":0}`: "VALIDATION_ERROR",
		`{"version":"1"}`: "VALIDATION_ERROR", `[]`: "VALIDATION_ERROR", `{"version":1.5}`: "VALIDATION_ERROR"} {
		if r := s.call(u, "POST", key+"/restore", []byte(b)); r.Code != code {
			t.Errorf("%s: got %d %s, want %s", b, r.status, r.raw, code)
		}
	}
	if got := s.call(u, "GET", key, nil).item(t); got.Version != 7 {
		t.Errorf("a refused restore made version %d", got.Version)
	}
	small := within(u, 3<<20)
	s.put(small, "k", "", "")
	s.put(small, "other", "", "x")
	if r := s.call(small, "POST", key+"/restore", []byte(`{"version":7}`)); r.status != 413 {
		t.Errorf("over the quota: got %d %.300s", r.status, r.raw)
	}
	s.checkAccounts()
}

func TestAWriteToAKeyInTheTrashCreatesItAgain(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	s.call(u, "PUT", key, []byte(`{"value":"a","metadata":{"m":1},"ttl":3600}`))
	s.call(u, "DELETE", key+"?recoverable=true", nil)
	r := s.call(u, "PUT", key, body("b"))
	if got := r.item(t); r.status != 201 || got.Version != 2 || got.ExpiresAt != nil || string(got.Metadata) != "null" {
		t.Errorf("got %d %s", r.status, r.raw)
	}
	list := s.call(u, "GET", key+"/versions", nil).versions(t)
	if numbersOf(list) != "2 1" || list[1].Deleted || s.trashed(u, "") != "" {
		t.Errorf("got versions %+v, trash %s", list, s.trashed(u, ""))
	}
	s.checkAccounts()
}

func TestTheTrashIsEmptiedByRealm(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	for _, name := range []string{"a", "b", "c"} {
		s.put(u, name, "", name)
		s.put(u, name, "?realm_id="+realmA, name)
	}
	s.put(u, "a", "", "again")
	if r := s.call(u, "DELETE", "/api/v1/vault?recoverable=true", nil); r.status != 200 ||
		!strings.Contains(string(r.Data), `{"deleted_count":3,"restorable_until":"20`) {
		t.Fatalf("clear: got %d %s", r.status, r.raw)
	}
	s.call(u, "DELETE", "/api/v1/vault/keys/b?recoverable=true&realm_id="+realmA, nil)
	if got, in := s.trashed(u, ""), s.trashed(u, "?realm_id="+realmA); got != "a:2:5 b:1:1 c:1:1" || in != "b:1:1" {
		t.Errorf("got %s and %s", got, in)
	}
	s.call(u, "DELETE", "/api/v1/vault?realm_id="+realmA, nil) // the trash stays
	if r := s.call(u, "DELETE", trashPath+"/b", nil); r.status != 200 || string(r.Data) != "null" {
		t.Errorf("remove one: got %d %s", r.status, r.raw)
	}
	if r := s.call(u, "DELETE", trashPath+"/b", nil); r.status != 404 || r.Code != "VAULT_KEY_NOT_FOUND" {
		t.Errorf("remove it again: got %d %s", r.status, r.raw)
	}
	before := s.changes(u.UserID)
	for _, count := range []string{"2", "0"} {
		if r := s.call(u, "DELETE", trashPath, nil); r.status != 200 || string(r.Data) != `{"deleted_count":`+count+`}` {
			t.Errorf("empty: got %d %s", r.status, r.raw)
		}
	}
	if after := s.changes(u.UserID); after != before {
		t.Errorf("emptying the trash recorded changes: %s", after)
	}
	if got := s.trashed(u, "?realm_id="+realmA); got != "b:1:1" {
		t.Errorf("the trash of the other realm has %s", got)
	}
	for _, path := range []string{"/a/restore", "/a/versions"} {
		method := map[bool]string{true: "POST", false: "GET"}[path == "/a/restore"]
		if r := s.call(u, method, "/api/v1/vault/keys"+path, nil); r.status != 404 {
			t.Errorf("%s after the trash was emptied: got %d", path, r.status)
		}
	}
	s.checkAccounts()
}

func TestWithoutATrashNothingIsRecoverable(t *testing.T) {
	t.Parallel()
	s, u := start(t, func(c *Config) { c.TrashRetention = 0 }), user()
	s.put(u, "k", "", "v")
	for _, path := range []string{key, "/api/v1/vault"} {
		if r := s.call(u, "DELETE", path+"?recoverable=true", nil); r.status != 400 ||
			!strings.Contains(string(r.Data), `"/recoverable"`) {
			t.Errorf("%s: got %d %s", path, r.status, r.raw)
		}
	}
	s.call(u, "GET", key, nil).item(t)
	if r := s.call(u, "DELETE", key+"?recoverable=false", nil); r.status != 200 {
		t.Errorf("not recoverable: got %d %s", r.status, r.raw)
	}
}

func TestTheTrashKeepsWhatFitsIntoItsAllowance(t *testing.T) {
	t.Parallel()
	s := start(t)
	u := within(user(), 1000)
	for _, name := range []string{"a", "b", "c"} { // each takes the place of the one before
		s.put(u, name, "", strings.Repeat("x", 600))
		s.call(u, "DELETE", "/api/v1/vault/keys/"+name+"?recoverable=true", nil)
	}
	if got := s.trashed(u, ""); got != "c:1:600" {
		t.Errorf("got %s", got)
	}
	s.put(u, "k", "", strings.Repeat("x", 900))
	small := within(u, 500)
	r := s.call(small, "DELETE", key+"?recoverable=true", nil)
	if r.status != 400 || !strings.Contains(string(r.Data), `"/recoverable"`) {
		t.Errorf("a value larger than the allowance: got %d %s", r.status, r.raw)
	}
	if r := s.call(small, "GET", key, nil); r.status != 200 {
		t.Errorf("it must still be there: got %d", r.status)
	}
	s.checkAccounts()
}

// TestAccountsStayExactUnderConcurrentChanges races all kinds of changes of a few keys on two
// replicas, in a small allowance.
func TestAccountsStayExactUnderConcurrentChanges(t *testing.T) {
	t.Parallel()
	first := start(t, func(c *Config) { c.Versions = 3 })
	replicas, u := []*stack{first, run(t, first.cfg)}, within(user(), 20_000)
	var wait sync.WaitGroup
	for n := range 8 {
		wait.Go(func() {
			for m := range 40 {
				path := fmt.Sprintf("/api/v1/vault/keys/k%d", (n+m)%3)
				method, b := "PUT", body(strings.Repeat("x", 100*((n*m)%30)))
				switch m % 8 {
				case 1:
					method, path = "DELETE", path+"?recoverable=true"
				case 3:
					method, path, b = "POST", path+"/restore", nil
				case 5:
					method = "DELETE"
				case 6:
					b = append(b[:len(b)-1], `,"ttl":"1s"}`...)
				case 7:
					if n == 0 {
						method, path = "DELETE", "/api/v1/vault?recoverable=true"
					} else if n == 1 {
						method, path = "DELETE", trashPath
					}
				}
				r, err := replicas[n%2].try(u, method, path, b)
				if err != nil || r.status >= 500 || r.status == 413 {
					t.Errorf("%s %s: %v %d %s", method, path, err, r.status, r.raw)
				}
			}
		})
	}
	wait.Wait()
	first.checkAccounts()
	if out, err := command(t, first.cfg, "verify"); err != nil {
		t.Errorf("verify: %v\n%s", err, out)
	}
	var gaps int
	if err := first.pool.QueryRow(t.Context(), `SELECT max(revision) - count(*) + (SELECT revision FROM vault_usage) - max(revision)
		FROM vault_changes`).Scan(&gaps); err != nil || gaps != 0 {
		t.Errorf("%d revisions have no change (%v)", gaps, err)
	}
}
