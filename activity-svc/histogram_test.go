package activity

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/event"
)

// bucketsAgree checks that histograms say of every bucket what a count of the records says, and
// returns how many days have one.
func (h *harness) bucketsAgree() int64 {
	h.t.Helper()
	const told = `SELECT h.user_id, h.day, h.realm_id, h.method, h.status, b.bucket - 1, b.records::bigint
		FROM activity_histogram h, unnest(h.buckets) WITH ORDINALITY AS b (records, bucket) WHERE b.records <> 0`
	const walked = `SELECT user_id, day, realm_id, method, status, ms % 86400000 / 900000, count(*) FROM (
			SELECT *, ('x' || encode(substr(id, 1, 6), 'hex'))::bit(48)::bigint AS ms FROM activity
		) AS a JOIN activity_busy_days USING (user_id) JOIN activity_counted ON ms < extract(epoch FROM before) * 1000
		WHERE day = (to_timestamp(ms / 1000) AT TIME ZONE 'UTC')::date GROUP BY 1, 2, 3, 4, 5, 6`
	if wrong := h.query(`SELECT count(*) FROM ((` + told + ` EXCEPT ALL ` + walked + `) UNION ALL (` + walked +
		` EXCEPT ALL ` + told + `)) AS wrong`); wrong != 0 {
		h.t.Errorf("%d buckets are wrong", wrong)
	}
	if wrong := h.query(`SELECT count(*) FROM activity_histogram h WHERE records <> (SELECT sum(n) FROM unnest(buckets) AS n)`); wrong != 0 {
		h.t.Errorf("%d histograms do not know how many records they have", wrong)
	}
	return h.query(`SELECT count(*) FROM activity_busy_days`)
}

// walked is what a walk over the records of a user would find.
type walked struct {
	h      *harness
	s      *store
	who    auth.Identity
	events []event.Request
}

// add stores n events, spread evenly over a stretch of time, of every kind: each hundredth one of a
// kind that is rare.
func (w *walked) add(n int, from, to time.Time) (added []event.Request) {
	w.h.t.Helper()
	for i := range n {
		e := at(from.Add(to.Sub(from)*time.Duration(i)/time.Duration(n)), w.who, []string{"GET", "POST", "PUT"}[i%3],
			[]int{200, 201, 404, 500}[i%4])
		if i%5 == 0 {
			e.RealmID = "507f1f77bcf86cd799439011"
		}
		if i%100 == 99 {
			e.Method, e.Status = "DELETE", 403
		}
		added = append(added, e)
	}
	w.store(added)
	w.events = append(w.events, added...)
	slices.SortFunc(w.events, func(a, b event.Request) int { return strings.Compare(b.ID, a.ID) })
	return added
}

func (w *walked) store(events []event.Request) {
	w.h.t.Helper()
	for batch := range slices.Chunk(events, 1000) {
		var rows []*record
		for _, e := range batch {
			rows = append(rows, recordsOf(e)...)
		}
		if err := w.s.insert(w.h.t.Context(), rows); err != nil {
			w.h.t.Fatal(err)
		}
	}
}

// compare asks for pages at both ends and in the middle of what each filter selects in each range.
func (w *walked) compare(stage string, ranges []string) {
	w.h.t.Helper()
	for _, r := range ranges {
		inRange := w.selected(w.events, r)
		for _, f := range []string{"", "&method=GET", "&errors_only=true&realm_id=507f1f77bcf86cd799439011", "&method=DELETE",
			"&method=PATCH"} {
			want := w.selected(inRange, f)
			const limit = 70
			pages := (len(want) + limit - 1) / limit
			for _, page := range slices.Compact([]int{1, pages/3 + 1, pages*2/3 + 1, max(1, pages), pages + 1}) {
				a := w.h.get(w.who, fmt.Sprintf("%s?limit=%d&page=%d%s%s", logPath, limit, page, r, f))
				got, expected := a.records(w.h.t), want[min(len(want), (page-1)*limit):min(len(want), page*limit)]
				same := slices.EqualFunc(got, expected, func(r Record, e event.Request) bool { return r.ID == e.ID })
				if !same || a.Metadata.Total != len(want) {
					w.h.t.Errorf("%s: %s%s page %d: got %d of %+v, want %d of %d", stage, r, f, page, len(got), a.Metadata,
						len(expected), len(want))
				}
			}
		}
	}
	oldest, newest := w.events[len(w.events)-1], w.events[0]
	want := fmt.Sprintf(`"total_records":%d,"oldest_record":"%s","newest_record":"%s"`, len(w.events),
		oldest.At().Format("2006-01-02T15:04:05.000Z"), newest.At().Format("2006-01-02T15:04:05.000Z"))
	if a := w.h.get(w.who, logPath+"/stats"); !strings.Contains(a.body, want) {
		w.h.t.Errorf("%s: stats: got %s, want %s", stage, a.body, want)
	}
}

// addAsBefore stores a late event as the release before histograms does.
func (w *walked) addAsBefore(e event.Request) {
	w.h.t.Helper()
	err := db.InTx(w.h.t.Context(), w.s.pool, func(tx pgx.Tx) error {
		reach, err := shareCounts(w.h.t.Context(), tx, true)
		if err != nil {
			return err
		}
		rows, err := copyIn(w.h.t.Context(), tx, recordsOf(e))
		if err != nil {
			return err
		}
		late := countLate(rows, reach)
		clear(late.buckets[:])
		return addCounts(w.h.t.Context(), tx, late)
	})
	if err != nil {
		w.h.t.Fatal(err)
	}
	w.events = append(w.events, e)
	slices.SortFunc(w.events, func(a, b event.Request) int { return strings.Compare(b.ID, a.ID) })
}

// countAsBefore counts what is not counted yet as the release before histograms does.
func (w *walked) countAsBefore() {
	w.h.t.Helper()
	ctx, now := w.h.t.Context(), time.Now().Truncate(time.Millisecond)
	err := w.s.countsAlone(ctx, func(tx pgx.Tx) error {
		var c counted
		if err := c.scan(tx.QueryRow(ctx, readCounted)); err != nil {
			return err
		}
		for day := dayOf(c.before); day.Before(now); day = day.AddDate(0, 0, 1) {
			if _, err := tx.Exec(ctx, countRecords, day, firstID(later(c.before, day)),
				firstID(earlier(now, day.Add(oneDay)))); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `UPDATE activity_counted SET before = $1`, now)
		return err
	})
	if err != nil {
		w.h.t.Fatal(err)
	}
}

// Days ago of the days of the tests; the last is in a month that is summed.
const (
	busyDay  = 5
	quietDay = 6
	laterDay = 40
)

// startWalk runs a service with a log of two busy days, today among them, and two quiet ones, and
// returns stretches of time that begin and end anywhere in them.
func startWalk(t *testing.T) (w *walked, ranges []string) {
	t.Helper()
	h := prepare(t)
	w = &walked{h: h, s: openStore(t, h.cfg.DB.URL.Reveal()), who: user()}
	now := time.Now().UTC()
	w.add(5000, w.day(busyDay), w.day(busyDay-1))
	w.add(300, w.day(quietDay), w.day(quietDay-1))
	w.add(200, w.day(laterDay), w.day(laterDay-1))
	today := w.add(manyRecords+500, later(dayOf(now), now.Add(-20*time.Minute)), now)
	h.run()
	h.eventually("today is counted", func() error {
		if c, err := w.s.counted(t.Context()); err != nil || c.before.Before(now) {
			return fmt.Errorf("%v, %v", c, err)
		}
		return nil
	})
	exactly := func(t time.Time) string { return url.QueryEscape(t.Format(time.RFC3339Nano)) }
	in := func(ago int, in time.Duration) string { return exactly(w.day(ago).Add(in)) }
	bounds := func(from, to string) string { return "&start_date=" + from + "&end_date=" + to }
	return w, []string{
		"", "&start_date=" + in(busyDay, 7*time.Hour+time.Second), "&end_date=" + in(busyDay, 17*time.Hour+11*time.Minute),
		bounds(in(busyDay, 30*time.Minute), in(busyDay, 45*time.Minute-time.Millisecond)),
		bounds(in(busyDay, 31*time.Minute), in(busyDay, 44*time.Minute)),
		bounds(in(busyDay, 44*time.Minute), in(busyDay, 46*time.Minute)),
		bounds(in(busyDay, 15*time.Minute), in(busyDay, 15*time.Minute)),
		bounds(in(busyDay, 6*time.Hour), in(busyDay, 18*time.Hour-time.Millisecond)),
		bounds(in(laterDay, 5*time.Hour), in(busyDay, oneDay-time.Millisecond)),
		bounds(in(laterDay, 3*time.Hour+time.Minute), in(laterDay, 20*time.Hour)),
		bounds(in(laterDay, 0), in(quietDay, 5*time.Hour)),
		bounds(exactly(today[700].At()), exactly(now.Add(oneDay))), "&end_date=" + exactly(today[4000].At()),
	}
}

func (w *walked) day(ago int) time.Time { return dayOf(time.Now()).AddDate(0, 0, -ago) }

// makeHistograms makes those that are missing.
func (w *walked) makeHistograms() {
	w.h.t.Helper()
	k := newKeeper(w.h.t, w.s, w.h.clock, 365)
	if err := k.makeHistogramsOf(w.h.t.Context(),
		[]time.Time{w.day(laterDay), w.day(quietDay), w.day(busyDay), w.day(1), w.day(0)}); err != nil {
		w.h.t.Fatal(err)
	}
}

// selected returns those that a query selects.
func (w *walked) selected(events []event.Request, query string) (out []event.Request) {
	w.h.t.Helper()
	q, err := url.ParseQuery(strings.TrimPrefix(query, "&"))
	if err != nil {
		w.h.t.Fatal(err)
	}
	for _, e := range events {
		if selected(q, e) {
			out = append(out, e)
		}
	}
	return out
}

// TestBusyAndQuietDaysAgreeWithAWalkOverTheRecords follows a log through all that can happen to a
// busy day, asking for every kind of page after each.
func TestBusyAndQuietDaysAgreeWithAWalkOverTheRecords(t *testing.T) {
	t.Parallel()
	w, ranges := startWalk(t)
	var late []event.Request
	for _, step := range []struct {
		what string
		do   func()
		days int64 // at least, that have a histogram
	}{
		{"no day has a histogram, as an earlier release left it", func() { w.h.query(`DELETE FROM activity_busy_days`) }, 0},
		{"busy days have one", w.makeHistograms, 2},
		{"events came late into a busy day", func() { late = w.add(400, w.day(busyDay).Add(time.Minute), w.day(busyDay-1)) },
			2},
		{"they were delivered again", func() { w.store(late) }, 2},
		{"all were delivered again", func() { w.store(w.events) }, 2},
		{"a day became busy long after it was over", func() { w.add(manyRecords, w.day(laterDay), w.day(laterDay-1)) }, 2},
		{"which was found", w.makeHistograms, 3},
		{"events came late into that", func() { w.add(50, w.day(laterDay), w.day(laterDay-1)) }, 3},
		{"all were counted anew", func() {
			if _, err := w.s.recount(t.Context(), time.Now().Truncate(time.Millisecond)); err != nil {
				t.Fatal(err)
			}
		}, 0},
		{"and got their histograms", w.makeHistograms, 3},
	} {
		step.do()
		w.compare(step.what, ranges)
		w.h.agrees(int64(len(w.events)))
		if got := w.h.bucketsAgree(); got < step.days {
			t.Errorf("%s: %d days have a histogram, want %d", step.what, got, step.days)
		}
	}
}

// TestAnEarlierReleaseMayRunBeside: it adds to the counts of days alone, and knows no histogram
// that it could make wrong.
func TestAnEarlierReleaseMayRunBeside(t *testing.T) {
	t.Parallel()
	w, ranges := startWalk(t)
	w.makeHistograms()
	w.addAsBefore(at(w.day(busyDay).Add(9*time.Hour), w.who, "PATCH", 402))
	w.addAsBefore(at(w.day(busyDay).Add(9*time.Hour), w.who, "GET", 200))
	w.compare("it stored late events", ranges)
	w.add(3, w.day(busyDay), w.day(busyDay-1))
	w.compare("then this one did", ranges)
	w.add(50, time.Now().Add(-time.Second), time.Now())
	w.countAsBefore()
	w.compare("it counted what is new", ranges)
	w.makeHistograms()
	w.compare("then the day was made again", ranges)
	if got := w.h.bucketsAgree(); got < 2 {
		t.Errorf("%d days have a histogram, want 2", got)
	}
	w.h.query(`DELETE FROM activity_daily WHERE day = $1`, w.day(busyDay)) // as it drops a day
	if n := w.h.query(`SELECT count(*) FROM activity_histogram WHERE day = $1`, w.day(busyDay)); n != 0 {
		t.Errorf("%d histograms are left of a day that was dropped", n)
	}
}

func TestADayThatIsDroppedTakesItsHistogramsAlong(t *testing.T) {
	t.Parallel()
	w, _ := startWalk(t)
	k := newKeeper(t, w.s, w.h.clock, busyDay)
	work(t, k)
	if n := w.h.bucketsAgree(); n < 2 {
		t.Errorf("%d days have a histogram, want 2", n)
	}
	work(t, newKeeper(t, w.s, w.h.clock, busyDay-1))
	if n := w.h.query(`SELECT count(*) FROM activity_histogram WHERE day <= $1`, w.day(busyDay)) +
		w.h.query(`SELECT count(*) FROM activity_busy_days WHERE day <= $1`, w.day(busyDay)); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	if w.h.bucketsAgree() == 0 {
		t.Error("the histogram of today is gone")
	}
}

// TestReplicasThatCountAtOnceFillEachBucketOnce lets two replicas count, make histograms and store
// what is new and what is late, while somebody reads.
func TestReplicasThatCountAtOnceFillEachBucketOnce(t *testing.T) {
	t.Parallel()
	h := prepare(t)
	one := &walked{h: h, s: openStore(t, h.cfg.DB.URL.Reveal()), who: user()}
	one.add(manyRecords, one.day(1), one.day(0))
	work(t, newKeeper(t, one.s, h.clock, 365))
	ctx, stop := context.WithCancel(t.Context())
	var writers, others sync.WaitGroup
	for range 2 {
		s := openStore(t, h.cfg.DB.URL.Reveal())
		k := newKeeper(t, s, h.clock, 365)
		w := &walked{h: h, s: s, who: one.who}
		writers.Go(func() {
			for round := range 25 {
				w.add(40, time.Now().Add(-time.Millisecond), time.Now())
				w.add(40, one.day(1), one.day(0))
				w.store(w.events[round : round+10])
			}
		})
		others.Go(func() {
			for ctx.Err() == nil {
				if err := s.count(t.Context(), time.Now().Truncate(time.Millisecond)); err != nil {
					t.Error(err)
				}
				if err := k.makeHistogramsOf(t.Context(), []time.Time{one.day(1), one.day(0)}); err != nil {
					t.Error(err)
				}
			}
		})
		others.Go(func() {
			f := everything(raw(one.who.UserID))
			f.from = one.day(1).Add(7 * time.Hour)
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
	h.agrees(manyRecords + 2*25*80)
	if h.bucketsAgree() == 0 {
		t.Error("no day has a histogram")
	}
}

// TestABusyDayIsCountedInWhateverPieces counts it anew, at once as after a long pause, and in
// pieces as when nothing holds the counting up.
func TestABusyDayIsCountedInWhateverPieces(t *testing.T) {
	t.Parallel()
	w, _ := startWalk(t)
	w.makeHistograms()
	for _, length := range []time.Duration{oneDay, 50 * time.Minute, 7*time.Hour + time.Minute} {
		err := db.InTx(t.Context(), w.s.pool, func(tx pgx.Tx) error {
			day := w.day(busyDay)
			_, err := tx.Exec(t.Context(), `DELETE FROM activity_daily WHERE day = $1`, day)
			if err == nil { // with its counts a day loses that it is busy
				_, err = tx.Exec(t.Context(), `INSERT INTO activity_busy_days (day, user_id) VALUES ($1, $2)`, day,
					[]byte(raw(w.who.UserID)))
			}
			for from := day; err == nil && from.Before(day.Add(oneDay)); from = from.Add(length) {
				err = countDay(t.Context(), tx, day, stretch{from, earlier(from.Add(length), day.Add(oneDay))})
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		w.h.agrees(int64(len(w.events)))
		if w.h.bucketsAgree() == 0 {
			t.Error("no day has a histogram")
		}
	}
}

func TestASkipEndsInABucket(t *testing.T) {
	t.Parallel()
	day := moment("2026-01-05")
	h := &histogram{day: day, until: day.Add(10*time.Hour + time.Minute), records: 9}
	h.buckets[8], h.buckets[39], h.buckets[40] = 2, 3, 4 // 2:00, 9:45, 10:00
	whole, part := stretch{day, h.until},
		stretch{day.Add(2*time.Hour + time.Minute), day.Add(10*time.Hour + 30*time.Second)}
	for _, c := range []struct {
		in       stretch
		skip     int64
		to       time.Duration
		left     int64
		tellsAll bool
	}{
		{whole, 0, 10*time.Hour + time.Minute, 0, true}, {whole, 3, 10*time.Hour + time.Minute, 3, true},
		{whole, 4, 10 * time.Hour, 0, true},
		{whole, 6, 10 * time.Hour, 2, true}, {whole, 7, 2*time.Hour + 15*time.Minute, 0, true},
		{whole, 8, 2*time.Hour + 15*time.Minute, 1, true},
		{whole, 8, 10*time.Hour + time.Minute, 8, false},  // not whole: not believed
		{part, 6, 10*time.Hour + 30*time.Second, 6, true}, // no bucket ends where it does
	} {
		h.records = 9
		if !c.tellsAll {
			h.records = 10
		}
		got := h.skip(piece{span: span{from: c.in.from, to: c.in.to, records: 9}, skip: c.skip, take: 1})
		if !got.to.Equal(day.Add(c.to)) || got.skip != c.left || got.take != 1 || !got.from.Equal(c.in.from) {
			t.Errorf("skip %d of %v: got %d of %v", c.skip, c.in, got.skip, stretch{got.from, got.to})
		}
	}
}
