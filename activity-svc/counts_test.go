package activity

import (
	"context"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/realmgate/realmgate/activity-svc/internal/timerange"
	"github.com/realmgate/realmgate/pkg/event"
)

// agrees checks that the log holds n records and that the counts, with the records that are not
// counted yet, tell the same: in all, of each hour and of each day that is over.
func (h *harness) agrees(n int64) {
	h.t.Helper()
	if got := h.query(`SELECT count(*) FROM activity`); got != n {
		h.t.Errorf("%d records, want %d", got, n)
	}
	const records = `SELECT *, ('x' || encode(substr(id, 1, 6), 'hex'))::bit(48)::bigint AS ms FROM activity`
	const watermark = `(SELECT (extract(epoch FROM counted_before) * 1000)::bigint FROM activity_watermark)`
	if got := h.query(`SELECT (SELECT coalesce(sum(records), 0)::bigint FROM activity_hourly) +
		(SELECT count(*) FROM (` + records + `) AS a WHERE ms >= ` + watermark + `)`); got != n {
		h.t.Errorf("%d records counted, want %d", got, n)
	}
	const day = ` EXTRACT(epoch FROM day)::bigint / 86400`
	for name, c := range map[string]struct{ table, start, before string }{
		"hours": {`SELECT user_id, EXTRACT(epoch FROM hour)::bigint / 3600, realm_id, method, status, records, bytes FROM activity_hourly`,
			`ms / 3600000`, watermark},
		"days": {`SELECT user_id,` + day + `, realm_id, method, status, records, bytes FROM activity_daily`, `ms / 86400000`,
			watermark + ` / 86400000 * 86400000`},
	} {
		walked := `SELECT user_id, ` + c.start + `, realm_id, method, status, count(*), sum(26 + octet_length(realm_id) + octet_length(method)
			+ octet_length(path) + octet_length(ip_address) + octet_length(user_agent))::bigint
			FROM (` + records + `) AS a WHERE ms < ` + c.before + ` GROUP BY 1, 2, 3, 4, 5`
		if wrong := h.query(`SELECT count(*) FROM ((` + c.table + ` EXCEPT ALL ` + walked + `) UNION ALL (` + walked +
			` EXCEPT ALL ` + c.table + `)) AS wrong`); wrong != 0 {
			h.t.Errorf("%d counts of %s are wrong", wrong, name)
		}
	}
}

// Days ago of the days of the tests.
const (
	busyDay  = 5
	quietDay = 6
	olderDay = 40
)

// startWalk runs a service with a log of two busy days, today among them, and two quiet ones, and
// returns ranges of time that begin and end anywhere in them.
func startWalk(t *testing.T) (w *walked, ranges []string) {
	t.Helper()
	h := prepare(t)
	w = &walked{h: h, s: openStore(t, h.cfg.DB.URL.Reveal()), user: newUser()}
	now := time.Now().UTC()
	w.add(5000, w.day(busyDay), w.day(busyDay-1))
	w.add(300, w.day(quietDay), w.day(quietDay-1))
	w.add(200, w.day(olderDay), w.day(olderDay-1))
	today := w.add(4500, timerange.Later(timerange.DayOf(now), now.Add(-80*time.Minute)), now)
	h.run()
	exactly := func(t time.Time) string { return url.QueryEscape(t.Format(time.RFC3339Nano)) }
	in := func(ago int, in time.Duration) string { return exactly(w.day(ago).Add(in)) }
	bounds := func(from, to string) string { return "&start_date=" + from + "&end_date=" + to }
	return w, []string{
		"", "&start_date=" + in(busyDay, 7*time.Hour+time.Second), "&end_date=" + in(busyDay, 17*time.Hour+11*time.Minute),
		bounds(in(busyDay, 2*time.Hour), in(busyDay, 3*time.Hour-time.Millisecond)),
		bounds(in(busyDay, 31*time.Minute), in(busyDay, 44*time.Minute)),
		bounds(in(busyDay, 44*time.Minute), in(busyDay, 2*time.Hour+46*time.Minute)),
		bounds(in(busyDay, time.Hour), in(busyDay, time.Hour)),
		bounds(in(busyDay, 6*time.Hour), in(busyDay, 18*time.Hour-time.Millisecond)),
		bounds(in(olderDay, 5*time.Hour), in(busyDay, timerange.Day-time.Millisecond)),
		bounds(in(olderDay, 3*time.Hour+time.Minute), in(olderDay, 20*time.Hour)),
		bounds(in(olderDay, 0), in(quietDay, 5*time.Hour)),
		bounds(exactly(today[700].At()), exactly(now.Add(timerange.Day))), "&end_date=" + exactly(today[4000].At()),
	}
}

func (w *walked) day(ago int) time.Time { return timerange.DayOf(time.Now()).AddDate(0, 0, -ago) }

// counted waits until all that is stored by now is counted.
func (w *walked) counted() {
	w.h.t.Helper()
	if err := w.s.moveWatermark(w.h.t.Context(), time.Now().Truncate(time.Millisecond)); err != nil {
		w.h.t.Fatal(err)
	}
}

// TestBusyAndQuietDaysAgreeWithAWalkOverTheRecords follows a log through all that can happen to a
// day, asking for every kind of page after each.
func TestBusyAndQuietDaysAgreeWithAWalkOverTheRecords(t *testing.T) {
	t.Parallel()
	w, ranges := startWalk(t)
	some := ranges[:3] // after a step that changes nothing
	var late []event.Request
	for _, step := range []struct {
		name   string
		do     func()
		ranges []string
	}{
		{"the log is counted", w.counted, ranges},
		{"events came late into a busy day",
			func() { late = w.add(400, w.day(busyDay).Add(time.Minute), w.day(busyDay-1)) }, ranges},
		{"they were delivered again", func() { w.store(late) }, some},
		{"all were delivered again", func() { w.store(w.events) }, some},
		{"a day became busy long after it was over",
			func() { w.add(4000, w.day(olderDay), w.day(olderDay-1)) }, ranges},
		{"the counts were deleted", func() {
			w.h.query(`DELETE FROM activity_hourly`)
			w.h.query(`DELETE FROM activity_daily`)
			w.h.query(`UPDATE activity_watermark SET counted_before = '1970-01-01Z'`)
		}, ranges},
		{"all were counted again", func() {
			if _, err := w.s.recount(t.Context(), time.Now().Truncate(time.Millisecond)); err != nil {
				t.Fatal(err)
			}
		}, some},
	} {
		step.do()
		w.compare(step.name, step.ranges)
		w.h.agrees(int64(len(w.events)))
	}
}

// TestReplicasThatCountAtOnceCountEachRecordOnce lets two replicas count, and store new and late
// records, while another client reads.
func TestReplicasThatCountAtOnceCountEachRecordOnce(t *testing.T) {
	t.Parallel()
	h := prepare(t)
	one := &walked{h: h, s: openStore(t, h.cfg.DB.URL.Reveal()), user: newUser()}
	one.add(4000, one.day(1), one.day(0))
	maintain(t, newMaintainer(t, one.s, h.clock, 365))
	ctx, stop := context.WithCancel(t.Context())
	var writers, others sync.WaitGroup
	for range 2 {
		s := openStore(t, h.cfg.DB.URL.Reveal())
		w := &walked{h: h, s: s, user: one.user}
		writers.Go(func() {
			for round := range 25 {
				w.add(40, time.Now().Add(-time.Millisecond), time.Now())
				w.add(40, one.day(1), one.day(0))
				w.store(w.events[round : round+10])
			}
		})
		others.Go(func() {
			for ctx.Err() == nil {
				if err := s.moveWatermark(t.Context(), time.Now().Truncate(time.Millisecond)); err != nil {
					t.Error(err)
				}
			}
		})
		others.Go(func() {
			f := allRecords(raw(one.user.UserID))
			f.from = one.day(1).Add(7*time.Hour + time.Minute)
			for last := int64(0); ctx.Err() == nil; {
				_, total, err := s.list(t.Context(), f, max(0, last-300), 50)
				if err != nil || total < last {
					t.Errorf("%d records after %d, %v", total, last, err)
				}
				last = total
			}
		})
	}
	writers.Wait()
	stop()
	others.Wait()
	h.agrees(4000 + 2*25*80)
}

// TestADayIsCountedInWhateverPieces counts from nothing to now in steps of different lengths.
func TestADayIsCountedInWhateverPieces(t *testing.T) {
	t.Parallel()
	w, _ := startWalk(t)
	for _, length := range []time.Duration{400 * timerange.Day, timerange.Day, 50 * time.Minute,
		7*time.Hour + time.Minute} {
		if _, err := w.s.recount(t.Context(), w.day(olderDay)); err != nil {
			t.Fatal(err)
		}
		now := time.Now().Truncate(time.Millisecond)
		for before := w.day(olderDay); before.Before(now); {
			before = timerange.Earlier(before.Add(length), now)
			if err := w.s.moveWatermark(t.Context(), before); err != nil {
				t.Fatal(err)
			}
		}
		w.h.agrees(int64(len(w.events)))
	}
}
