package activity

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestWhatIsCopiedInIsWhatWasGiven: empty texts, long ones, separators of COPY's other formats, the
// bounds of a status.
func TestWhatIsCopiedInIsWhatWasGiven(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	var given []record
	for _, status := range []int16{-32768, -1, 0, 200, 32767} {
		for _, text := range []string{"", "/a", "tab\t, line\n, \\. and \\N", "ü €", strings.Repeat("long", 10_000)} {
			r := *recordsOf(at(time.Now(), newUser(), "GET", 200))[0]
			r.status, r.path, r.ipAddress, r.userAgent, r.method = status, text, text, text, text
			if n := len(given); n%2 == 0 {
				r.credential = credential{requestID: text, durationMS: int32(n), kind: kindToken, id: r.userID}
			}
			given = append(given, r)
		}
	}
	rows := make([]*record, len(given))
	for i := range given {
		r := given[i]
		rows[i] = &r
	}
	if err := s.insert(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	found, err := s.pool.Query(t.Context(),
		`SELECT user_id, id, realm_id, method, path, status, ip_address, user_agent, auth_id, coalesce(request_id, ''),
			coalesce(duration_ms, 0), coalesce(auth, 0) FROM activity`)
	if err != nil {
		t.Fatal(err)
	}
	there, err := pgx.CollectRows(found, func(row pgx.CollectableRow) (r record, err error) {
		var user, id, realm, authID []byte
		c := &r.credential
		err = row.Scan(&user, &id, &realm, &r.method, &r.path, &r.status, &r.ipAddress, &r.userAgent,
			&authID, &c.requestID, &c.durationMS, &c.kind)
		r.userID, r.id, r.realmID, c.id = string(user), string(id), string(realm), string(authID)
		return r, err
	})
	if err != nil {
		t.Fatal(err)
	}
	byUser := func(a, b record) int { return strings.Compare(a.userID, b.userID) }
	slices.SortFunc(given, byUser)
	slices.SortFunc(there, byUser)
	if !slices.Equal(given, there) {
		t.Errorf("stored %d rows that are not the %d given", len(there), len(given))
	}
}

// TestAColumnOfAnotherTypeMakesNoDeadLetters: a later release may change a column while this one
// still runs. Its events wait then.
func TestAColumnOfAnotherTypeMakesNoDeadLetters(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	if _, err := s.pool.Exec(t.Context(), `ALTER TABLE activity ALTER ip_address TYPE inet USING NULL`); err != nil {
		t.Fatal(err)
	}
	if err := s.insert(t.Context(), recordsOf(at(time.Now(), newUser(), "GET", 200))); err == nil || isUnstorable(err) {
		t.Errorf("got %v, want an error that is tried again", err)
	}
}
