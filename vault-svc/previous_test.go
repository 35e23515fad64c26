package vault

import (
	"testing"

	"github.com/google/uuid"

	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
)

// previousRelease runs the statements of the previous release, which knows no versions.
type previousRelease struct{ *stack }

func (p previousRelease) put(userID, name, value string) {
	p.t.Helper()
	keys, err := openKeys(p.cfg, p.pool)
	if err != nil {
		p.t.Fatal(err)
	}
	key, err := keys.Ensure(p.t.Context(), userID)
	if err != nil {
		p.t.Fatal(err)
	}
	id, ref := uuid.New(), sealing.Ref{User: userID, Key: name}
	sealed, err := key.Seal(sealing.Value, ref, id, []byte(value))
	if err != nil {
		p.t.Fatal(err)
	}
	var size int64
	var fresh bool
	if err := p.pool.QueryRow(p.t.Context(), `SELECT o_size, o_fresh FROM vault_put($1, '', $2, $3, $4, NULL, NULL, true,
		$5, 0, 1000000, 1000)`, userID, name, sealed, id, len(value)).Scan(&size, &fresh); err != nil || size < 0 {
		p.t.Fatalf("vault_put: size %d, %v", size, err)
	}
}

// delete deletes one item, or all when name is "", as the previous release does.
func (p previousRelease) delete(userID, name string) {
	p.t.Helper()
	const giveBack = `, freed AS (
		SELECT count(*) AS items, coalesce(sum(size_bytes), 0)::bigint AS bytes FROM gone
	), account AS (
		UPDATE vault_usage u SET bytes = u.bytes - f.bytes, items = u.items - f.items
		FROM freed f WHERE u.user_id = $1 AND f.items > 0
	), realm AS (
		UPDATE vault_realms r SET bytes = r.bytes - f.bytes, items = r.items - f.items
		FROM freed f WHERE r.user_id = $1 AND r.realm_id = '' AND f.items > 0 AND r.items > f.items
	), empty_realm AS (
		DELETE FROM vault_realms r USING freed f WHERE r.user_id = $1 AND r.realm_id = '' AND r.items = f.items
	)
	SELECT items FROM freed`
	if _, err := p.pool.Exec(p.t.Context(), `WITH gone AS (DELETE FROM vault_items
		WHERE user_id = $1 AND realm_id = '' AND (key = $2 OR $2 = '') RETURNING size_bytes)`+giveBack,
		userID, name); err != nil {
		p.t.Fatal(err)
	}
}

func TestThePreviousReleaseKeepsVersionsAndAccountsRight(t *testing.T) {
	t.Parallel()
	s, u := start(t), user()
	old := previousRelease{s}
	old.put(u.UserID, "k", "one")
	first := s.call(u, "GET", key, nil)
	if got := first.item(t); *got.Value != "one" || got.Version != 1 || first.header.Get("ETag") == "" {
		t.Errorf("read of an old row: got %s", first.raw)
	}
	if got := s.put(u, "k", "", "two"); got.Version != 2 {
		t.Errorf("write after the previous release: got version %d, want 2", got.Version)
	}
	old.put(u.UserID, "k", "four") // as long as before or not, it keeps the number and the history
	old.put(u.UserID, "k", "five")
	if r := s.call(u, "PUT", key, body("six"), "If-Match: "+first.header.Get("ETag")); r.status != 412 {
		t.Errorf("an old tag: got %d", r.status)
	}
	if got := numbersOf(s.call(u, "GET", key+"/versions", nil).versions(t)); got != "4 3 2 1" {
		t.Errorf("got versions %s, want 4 3 2 1", got)
	}
	if got := s.call(u, "GET", key+"?version=3", nil).item(t); *got.Value != "four" {
		t.Errorf("version 3: got %s", *got.Value)
	}
	if r := s.call(u, "POST", key+"/restore", []byte(`{"version":1}`)); r.status != 200 || *r.item(t).Value != "one" {
		t.Errorf("restore of an old row: got %d %s", r.status, r.raw)
	}
	s.put(u, "other", "", "v")
	s.checkAccounts()
	old.delete(u.UserID, "k")
	if r := s.call(u, "GET", key+"?version=1", nil); r.status != 404 {
		t.Errorf("a version survived the delete: got %d", r.status)
	}
	s.checkAccounts()
	s.call(u, "DELETE", "/api/v1/vault/keys/other?recoverable=true", nil)
	old.put(u.UserID, "other", "again")
	if got := s.call(u, "GET", "/api/v1/vault/keys/other", nil).item(t); got.Version != 2 || s.trashed(u, "") != "" {
		t.Errorf("created again from the trash: got %+v", got)
	}
	old.delete(u.UserID, "")
	s.checkAccounts()
	if got := s.changes(u.UserID); got != "1 put k 1, 2 put k 2, 3 put k 3, 4 put k 4, 5 restore k 5, 6 put other 1, "+
		"7 delete k 5, 8 delete other 1, 9 put other 2, 10 delete other 2" {
		t.Errorf("got changes %s", got)
	}
	if out, err := command(t, s.cfg, "verify"); err != nil {
		t.Errorf("verify: %v\n%s", err, out)
	}
}
