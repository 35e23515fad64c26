package vault

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/vault-svc/internal/keyrange"
	"github.com/realmgate/realmgate/vault-svc/internal/store"
)

const listPath = "/api/v1/vault/keys"

// nextCursor returns next_cursor of a page, "" for null.
func nextCursor(t testing.TB, r reply, limit int) string {
	t.Helper()
	var page struct {
		Metadata *struct {
			Limit int     `json:"limit"`
			Next  *string `json:"next_cursor"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(r.raw, &page); err != nil || page.Metadata == nil || page.Metadata.Limit != limit {
		t.Fatalf("got %.300s, want metadata with limit %d", r.raw, limit)
	}
	if page.Metadata.Next == nil {
		return ""
	}
	return *page.Metadata.Next
}

// pages returns the keys of all pages.
func (s *stack) pages(as auth.Identity, query string, limit int) []string {
	s.t.Helper()
	var all []string
	for cursor := ""; ; {
		path := fmt.Sprintf("%s?limit=%d%s", listPath, limit, query)
		if cursor != "" {
			path += "&cursor=" + cursor
		}
		r := s.call(as, "GET", path, nil)
		keys := strings.Fields(keysIn(s.t, r))
		if len(keys) > limit {
			s.t.Fatalf("%s: got %d keys, want at most %d", path, len(keys), limit)
		}
		all = append(all, keys...)
		if cursor = nextCursor(s.t, r, limit); cursor == "" {
			return all
		}
	}
}

func TestPagesAreTheCompleteList(t *testing.T) {
	t.Parallel()
	s, owner := start(t), user()
	keys := []string{"-", ".", "..", "0", "A", "Z", "_", "a", "a-", "a.", "a..", "a0", "aa", "a_", "b", "z",
		strings.Repeat("a", 255), strings.Repeat("z", 255), strings.Repeat("a", 254) + "z"}
	for _, key := range keys {
		s.put(owner, key, "?realm_id="+realmA, "v")
	}
	s.put(owner, "elsewhere", "", "v")
	part := scoped(owner, auth.VaultScope{Prefixes: []string{"a.", "aa", "b", "x", "z"}})
	part.Grant.Realms = []string{realmA}
	for _, as := range []auth.Identity{owner, part} {
		for _, prefix := range []string{"", "a", "a.", "z", "b", "none", "%25", "_", "a%00", strings.Repeat("a", 256)} {
			query := "&realm_id=" + realmA + "&prefix=" + prefix
			complete := s.call(as, "GET", listPath+"?x=1"+query, nil)
			want := strings.Fields(keysIn(t, complete))
			if strings.Contains(string(complete.raw), `"metadata":{"limit"`) || !slices.IsSorted(want) {
				t.Errorf("prefix %s: got %.300s, want the list as in the contract", prefix, complete.raw)
			}
			for _, limit := range []int{1, 2, 3, 5, len(keys), 1000} {
				if got := s.pages(as, query, limit); !slices.Equal(got, want) {
					t.Errorf("prefix %s, pages of %d: got %v, want %v", prefix, limit, got, want)
				}
			}
		}
	}
	if got := s.pages(user(), "", 10); got != nil {
		t.Errorf("a user without items: got %v, want none", got)
	}
}

func TestCursorBelongsToUserRealmAndPrefix(t *testing.T) {
	t.Parallel()
	s, owner, other := start(t), user(), user()
	for _, key := range []string{"a1", "a2", "a3"} {
		s.put(owner, key, "", "v")
		s.put(owner, key, "?realm_id="+realmA, "v")
		s.put(other, key, "", "v")
	}
	cursor := nextCursor(t, s.call(owner, "GET", listPath+"?limit=1&prefix=a", nil), 1)
	if len(cursor) > maxCursor || strings.Contains(cursor, "a1") {
		t.Errorf("got cursor %s, want an opaque one", cursor)
	}
	replica := run(t, s.cfg)
	changed := []byte(cursor)
	changed[len(changed)/2] ^= 1
	for name, c := range map[string]struct {
		on    *stack
		as    auth.Identity
		query string
		want  string // keys; "" for 400
	}{
		"as it was given":  {s, owner, "?limit=1&prefix=a&cursor=" + cursor, "a2"},
		"another limit":    {s, owner, "?limit=9&prefix=a&cursor=" + cursor, "a2 a3"},
		"on a new replica": {replica, owner, "?limit=9&prefix=a&cursor=" + cursor, "a2 a3"},
		"again":            {s, owner, "?limit=1&prefix=a&cursor=" + cursor, "a2"},
		"another user":     {s, other, "?limit=1&prefix=a&cursor=" + cursor, ""},
		"a new user":       {s, user(), "?limit=1&prefix=a&cursor=" + cursor, ""},
		"another realm":    {s, owner, "?limit=1&prefix=a&realm_id=" + realmA + "&cursor=" + cursor, ""},
		"another prefix":   {s, owner, "?limit=1&prefix=a2&cursor=" + cursor, ""},
		"without prefix":   {s, owner, "?limit=1&cursor=" + cursor, ""},
		"without limit":    {s, owner, "?prefix=a&cursor=" + cursor, ""},
		"changed":          {s, owner, "?limit=1&prefix=a&cursor=" + string(changed), ""},
		"longer":           {s, owner, "?limit=1&prefix=a&cursor=" + cursor + "A", ""},
		"empty":            {s, owner, "?limit=1&prefix=a&cursor=", ""},
		"a key":            {s, owner, "?limit=1&prefix=a&cursor=a1", ""},
	} {
		r := c.on.call(c.as, "GET", listPath+c.query, nil)
		if c.want == "" {
			if r.status != 400 || r.Code != "VALIDATION_ERROR" || !strings.Contains(string(r.raw), `"/cursor"`) {
				t.Errorf("%s: got %d %.300s, want 400 that names /cursor", name, r.status, r.raw)
			}
		} else if got := keysIn(t, r); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
	for _, limit := range []string{"0", "1001", "-1", "x", "", "1.5"} {
		if r := s.call(owner, "GET", listPath+"?limit="+limit, nil); r.status != 400 {
			t.Errorf("limit %s: got %d %.300s, want 400", limit, r.status, r.raw)
		}
	}
}

// TestPageCostsTheSameInALargeRealm counts the blocks that PostgreSQL touches for a page, with the
// generic plans that the service uses.
func TestPageCostsTheSameInALargeRealm(t *testing.T) {
	t.Parallel()
	s, owner := start(t), user()
	s.put(owner, "first", "", "v")
	ctx := t.Context()
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(ctx, sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(`INSERT INTO vault_items (user_id, realm_id, key, sealed, version, size_bytes, metadata_bytes)
		SELECT CASE WHEN n <= 30000 THEN user_id ELSE 'other' || n / 100 END, realm_id, 'k' || lpad(n::text, 6, '0'),
			sealed, version, size_bytes, 0
		FROM vault_items, generate_series(1, 60000) n WHERE user_id = $1`, owner.UserID)
	exec(`ANALYZE vault_items`)
	exec(`SET plan_cache_mode = force_generic_plan`)
	all := keyrange.Of(auth.VaultScope{}, "")
	some := keyrange.Of(auth.VaultScope{Prefixes: []string{"k0", "k1", "k2"}}, "")
	for name, in := range map[string]keyrange.Ranges{"the first page": all, "a late page": all.After("k029000"),
		"a prefix": keyrange.Of(auth.VaultScope{}, "k01"), "prefixes of a token": some,
		"a late page of these": some.After("k019000")} {
		if got, most := blocksOfPage(t, conn, owner.UserID, in), 200; got > most {
			t.Errorf("%s: got %d blocks, want at most %d", name, got, most)
		}
	}
}

// blocksOfPage returns the number of blocks that PostgreSQL reads for a page of 10 items.
func blocksOfPage(t *testing.T, conn *pgxpool.Conn, user string, in keyrange.Ranges) int {
	t.Helper()
	sql, args := store.ListSQL(user, "", in, 10)
	if _, err := conn.Exec(t.Context(), `PREPARE page AS `+sql); err != nil {
		t.Fatal(err)
	}
	literals := make([]string, len(args))
	for i, arg := range args {
		literals[i] = literal(arg)
	}
	var plan []struct {
		Plan struct {
			Hit  int `json:"Shared Hit Blocks"`
			Read int `json:"Shared Read Blocks"`
		}
	}
	var raw []byte
	if err := conn.QueryRow(t.Context(), `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE page(`+
		strings.Join(literals, ",")+`)`).Scan(&raw); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `DEALLOCATE page`); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &plan); err != nil {
		t.Fatal(err)
	}
	return plan[0].Plan.Hit + plan[0].Plan.Read
}

// literal returns an argument as a literal of SQL.
func literal(v any) string {
	switch v := v.(type) {
	case string:
		return "'" + v + "'"
	case []string:
		return "'{" + strings.Join(v, ",") + "}'"
	}
	return fmt.Sprint(v)
}
