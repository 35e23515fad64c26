package vault

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// versionItem is the JSON of one version in the list of versions.
type versionItem struct {
	Version   int64  `json:"version"`
	SizeBytes int64  `json:"size_bytes"`
	CreatedAt string `json:"created_at"`
	Current   bool   `json:"current"`
	Deleted   bool   `json:"deleted"`
}

func (r reply) versions(t *testing.T) (list []versionItem) {
	t.Helper()
	if err := json.Unmarshal(r.Data, &list); err != nil || r.status != 200 {
		t.Fatalf("got %d %.300s (%v)", r.status, r.raw, err)
	}
	return list
}

func numbersOf(list []versionItem) string {
	var numbers []string
	for _, v := range list {
		numbers = append(numbers, fmt.Sprint(v.Version))
	}
	return strings.Join(numbers, " ")
}

func TestEarlierVersionsAreListedAndRead(t *testing.T) {
	t.Parallel()
	s, u := start(t, func(c *Config) { c.Versions = 3 }), user()
	if r := s.call(u, "GET", key+"/versions", nil); r.status != 404 || r.Code != "VAULT_KEY_NOT_FOUND" {
		t.Errorf("versions of an absent key: got %d %s", r.status, r.raw)
	}
	tags := map[int64]string{}
	for n := range int64(6) {
		b := fmt.Appendf(nil, `{"value":"value %d","metadata":{"n":%d}}`, n+1, n+1)
		if n == 4 {
			b = body("value 5") // its metadata is that of version 4
		}
		r := s.call(u, "PUT", key, b)
		if got := r.item(t); got.Version != n+1 {
			t.Fatalf("write %d: got %s", n+1, r.raw)
		}
		tags[n+1] = r.header.Get("ETag")
	}
	list := s.call(u, "GET", key+"/versions", nil).versions(t)
	if numbersOf(list) != "6 5 4 3" || !list[0].Current || list[1].Current || list[0].Deleted ||
		list[0].SizeBytes != int64(len(`value 6{"n":6}`)) || list[0].CreatedAt == "" {
		t.Errorf("got %+v", list)
	}
	for n, metadata := range map[int64]string{6: `{"n":6}`, 5: `{"n":4}`, 4: `{"n":4}`, 3: `{"n":3}`} {
		r := s.call(u, "GET", fmt.Sprintf("%s?version=%d", key, n), nil)
		got := r.item(t)
		if r.status != 200 || *got.Value != fmt.Sprint("value ", n) || got.Version != n ||
			string(got.Metadata) != metadata || r.header.Get("ETag") != tags[n] {
			t.Errorf("version %d: got %d %s, tag %s", n, r.status, r.raw, r.header.Get("ETag"))
		}
	}
	for _, n := range []string{"1", "2", "7", "9223372036854775807"} {
		if r := s.call(u, "GET", key+"?version="+n, nil); r.status != 404 || r.Code != "VAULT_VERSION_NOT_FOUND" {
			t.Errorf("version %s: got %d %s", n, r.status, r.raw)
		}
	}
	for _, n := range []string{"0", "-1", "x", "", "1.5", "9223372036854775808"} {
		if r := s.call(u, "GET", key+"?version="+n, nil); r.status != 400 || !strings.Contains(string(r.Data), `"/version"`) {
			t.Errorf("version %s: got %d %s", n, r.status, r.raw)
		}
	}
	// Conditions apply to the current version only.
	for query, status := range map[string]int{"?version=5": 200, "?version=6": 304} {
		r := s.call(u, "GET", key+query, nil, "If-None-Match: "+tags[5]+", "+tags[6])
		if r.status != status {
			t.Errorf("%s with both tags: got %d, want %d", query, r.status, status)
		}
	}
	if r := s.call(u, "GET", key+"?version=5", nil, "If-None-Match: x"); r.status != 400 {
		t.Errorf("a malformed condition with a version: got %d", r.status)
	}
	s.checkAccounts()
}

func TestAPermanentDeleteRemovesAllVersions(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	s.put(u, "k", "", "first")
	s.put(u, "k", "", "second")
	s.put(u, "k", "?realm_id="+realmA, "other")
	s.put(u, "k", "?realm_id="+realmA, "other")
	s.call(u, "DELETE", key, nil)
	if r := s.call(u, "GET", key+"?version=1", nil); r.status != 404 {
		t.Errorf("a permanent delete keeps a version: got %d", r.status)
	}
	if got := s.put(u, "k", "", "again"); got.Version != 1 {
		t.Errorf("after a permanent delete: got version %d, want 1", got.Version)
	}
	if got := numbersOf(s.call(u, "GET", key+"/versions?realm_id="+realmA, nil).versions(t)); got != "2 1" {
		t.Errorf("the key in another realm has versions %s, want 2 1", got)
	}
	s.checkAccounts()
}

func TestLargeVersionsAreReadAsTheyWere(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	values := []string{strings.Repeat("a", 3<<20), strings.Repeat("b", smallBody+1), "c"}
	for _, v := range values {
		s.put(u, "k", "", v)
	}
	for n, v := range values {
		if got := s.call(u, "GET", fmt.Sprintf("%s?version=%d", key, n+1), nil).item(t); *got.Value != v {
			t.Errorf("version %d: got %d bytes, want %d", n+1, len(*got.Value), len(v))
		}
	}
	s.checkAccounts()
}

// TestTheOldestVersionsMakeRoom checks that history never causes a 413.
func TestTheOldestVersionsMakeRoom(t *testing.T) {
	t.Parallel()
	s := start(t)
	u := within(user(), 1000)
	for n := range 5 {
		s.put(u, "a", "", strings.Repeat("x", 300+n))
	}
	if got := numbersOf(s.call(u, "GET", "/api/v1/vault/keys/a/versions", nil).versions(t)); got != "5 4 3 2" {
		t.Errorf("three versions of 300 bytes fit into 1000: got %s", got)
	}
	s.put(u, "b", "", strings.Repeat("y", 600))
	s.put(u, "b", "", "")
	if got := numbersOf(s.call(u, "GET", "/api/v1/vault/keys/a/versions", nil).versions(t)); got != "5 4" {
		t.Errorf("the oldest versions of a make room for one of b: got %s", got)
	}
	if got := numbersOf(s.call(u, "GET", "/api/v1/vault/keys/b/versions", nil).versions(t)); got != "2 1" {
		t.Errorf("got %s", got)
	}
	s.checkAccounts()
	small := within(u, 100) // the quota was lowered: the old value is larger than the allowance
	s.put(small, "a", "", "")
	s.checkAccounts()
	if got := numbersOf(s.call(u, "GET", "/api/v1/vault/keys/a/versions", nil).versions(t)); !strings.HasPrefix(got, "6") {
		t.Errorf("got %s", got)
	}
}

func TestWithoutVersionsOverwritingKeepsNothing(t *testing.T) {
	t.Parallel()
	first := start(t)
	u := user()
	for range 5 {
		first.put(u, "k", "", "v")
	}
	cfg := first.cfg
	cfg.Versions = 0
	s := run(t, cfg)
	if got := s.put(u, "k", "", "v"); got.Version != 6 {
		t.Errorf("got version %d, want 6", got.Version)
	}
	if got := numbersOf(s.call(u, "GET", key+"/versions", nil).versions(t)); got != "6" {
		t.Errorf("got %s, want 6", got)
	}
	s.checkAccounts()
}

// TestAnOlderRowDoesNotOpenAsANewerVersion puts older rows back in the database.
func TestAnOlderRowDoesNotOpenAsANewerVersion(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	for name, sql := range map[string]string{
		"an earlier value": `UPDATE vault_items i SET sealed = v.sealed, version = v.version, size_bytes = v.size_bytes
			FROM vault_versions v WHERE v.user_id = $1 AND i.user_id = $1 AND i.key = v.key AND v.number = 1`,
		"an earlier number": `UPDATE vault_items SET number = 1 WHERE user_id = $1`,
		"newer metadata": `UPDATE vault_items SET number = 2, sealed = v.sealed, version = v.version
			FROM vault_versions v WHERE v.user_id = $1 AND vault_items.user_id = $1 AND v.number = 2`,
	} {
		s.call(u, "DELETE", key, nil)
		for n := range 3 {
			s.call(u, "PUT", key, fmt.Appendf(nil, `{"value":"v","metadata":{"n":%d}}`, n))
		}
		if tag, err := s.pool.Exec(t.Context(), sql, u.UserID); err != nil || tag.RowsAffected() != 1 {
			t.Fatalf("%s: %v %v", name, tag, err)
		}
		if r := s.call(u, "GET", key, nil); r.status != 500 {
			t.Errorf("%s: got %d %s", name, r.status, r.raw)
		}
		if r := s.call(u, "PUT", key, []byte(`{"value":"","metadata":null}`)); name == "an earlier value" && r.status != 200 {
			t.Errorf("%s: written again: got %d %s", name, r.status, r.raw)
		}
	}
}

func TestExpiryOfAWriteIsValidated(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	for fields, path := range map[string]string{
		`"expires_at":"2026-01-01T00:00:00Z"`: "/expires_at", `"expires_at":"tomorrow"`: "/expires_at",
		`"expires_at":7`: "/expires_at", `"expires_at":"2999-01-01"`: "/expires_at",
		`"ttl":0`: "/ttl", `"ttl":-1`: "/ttl", `"ttl":1.5`: "/ttl", `"ttl":"999ms"`: "/ttl", `"ttl":"1 hour"`: "/ttl",
		`"ttl":"-2s"`: "/ttl", `"ttl":""`: "/ttl", `"ttl":null`: "/ttl", `"ttl":true`: "/ttl", `"ttl":99999999999999`: "/ttl",
		`"ttl":5,"expires_at":"2999-01-01T00:00:00Z"`: "/ttl", `"ttl":5,"expires_at":null`: "/ttl",
	} {
		r := s.call(u, "PUT", key, []byte(`{"value":"v",`+fields+`}`))
		if r.status != 400 || !strings.Contains(string(r.Data), `"`+path+`"`) {
			t.Errorf("%s: got %d %s, want 400 about %s", fields, r.status, r.raw, path)
		}
	}
	expiry := func(fields string) string {
		t.Helper()
		r := s.call(u, "PUT", key, []byte(`{"value":"v"`+fields+`}`))
		if r.status > 201 {
			t.Fatalf("%s: got %d %s", fields, r.status, r.raw)
		}
		if got := r.item(t).ExpiresAt; got != nil {
			return *got
		}
		return ""
	}
	for _, c := range []struct{ fields, want string }{
		{"", ""}, {`,"expires_at":"2999-01-01T01:00:00.5+01:00"`, "2999-01-01T00:00:00.500Z"},
		{"", "2999-01-01T00:00:00.500Z"}, {`,"expires_at":null`, ""}, {"", ""},
	} {
		if got := expiry(c.fields); got != c.want {
			t.Errorf("%s: got %s, want %s", c.fields, got, c.want)
		}
	}
	for _, fields := range []string{`,"ttl":3600`, `,"ttl":"1h"`, `,"ttl":"59m60s"`} {
		expires, item := expiry(fields), s.call(u, "GET", key, nil).item(t)
		if expires[:13] <= item.UpdatedAt[:13] || *item.ExpiresAt != expires {
			t.Errorf("%s: got %s after a write at %s, the item says %s", fields, expires, item.UpdatedAt, *item.ExpiresAt)
		}
	}
}
