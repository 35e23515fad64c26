package activity

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/activity-svc/internal/timerange"
)

// TestAPageIsLookedUpByItsIDs also in a day that PostgreSQL has no statistics of, as every day is
// at first.
func TestAPageIsLookedUpByItsIDs(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	user, day := newUser(), timerange.DayOf(time.Now())
	var rows []*record
	for i := range 1000 {
		rows = append(rows, recordsOf(at(day.Add(time.Duration(i)*time.Second), user, "GET", 200))...)
	}
	if err := s.insert(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	err := s.reading(t.Context(), func(tx pgx.Tx, _ time.Time) error {
		f := allRecords(raw(user.UserID))
		sql, args := f.sliceQuery(timerange.Slice{
			Counted: timerange.Counted{Range: timerange.Range{From: day, To: day.Add(timerange.Day)}}, Skip: 300, Take: 50,
		})
		plan, err := tx.Query(t.Context(), `EXPLAIN ANALYZE `+sql, args...)
		if err != nil {
			return err
		}
		lines, err := pgx.CollectRows(plan, pgx.RowTo[string])
		if got := strings.Join(lines, "\n"); strings.Contains(got, "Rows Removed") {
			t.Errorf("rows are read that are not of the page:\n%s", got)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
