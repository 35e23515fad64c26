package activity

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/event"
)

// walked has the events of a user, to walk over.
type walked struct {
	h      *harness
	s      *store
	user   auth.Identity
	events []event.Request
}

// add stores n events, spread evenly over a stretch of time, of every kind: each hundredth one of a
// kind that is rare.
func (w *walked) add(n int, from, to time.Time) (added []event.Request) {
	w.h.t.Helper()
	for i := range n {
		e := at(from.Add(to.Sub(from)*time.Duration(i)/time.Duration(n)), w.user, []string{"GET", "POST", "PUT"}[i%3],
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
		inRange := selectedBy(w.h.t, w.events, r)
		for _, f := range []string{"", "&method=GET", "&errors_only=true&realm_id=507f1f77bcf86cd799439011", "&method=DELETE",
			"&method=PATCH"} {
			want := selectedBy(w.h.t, inRange, f)
			const limit = 70
			pages := (len(want) + limit - 1) / limit
			for _, page := range slices.Compact([]int{1, pages*2/3 + 1, max(1, pages), pages + 1}) {
				a := w.h.get(w.user, fmt.Sprintf("%s?limit=%d&page=%d%s%s", logPath, limit, page, r, f))
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
	if a := w.h.get(w.user, logPath+"/stats"); !strings.Contains(a.body, want) {
		w.h.t.Errorf("%s: stats: got %s, want %s", stage, a.body, want)
	}
}

// TestEveryFilterAgreesWithAWalkOverTheRecords compares pages and totals with what a plain walk
// over all events says, while some days are summed and some records are not counted yet.
func TestEveryFilterAgreesWithAWalkOverTheRecords(t *testing.T) {
	t.Parallel()
	h := prepare(t)
	s := openStore(t, h.cfg.DB.URL.Reveal())
	user, realm := newUser(), "507f1f77bcf86cd799439011"
	now := time.Now().UTC()
	var events []event.Request
	var rows []*record
	for n := range 400 {
		e := nthEvent(n, now, user, realm)
		events = append(events, e)
		rows = append(rows, recordsOf(e)...)
	}
	if err := s.insert(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	h.run() // maintenance counts all but the newest records
	h.eventually("days are counted", func() error {
		if n := h.query(`SELECT count(*) FROM activity_watermark WHERE counted_before > now() - interval '8 hours'`); n != 1 {
			return errors.New("not yet")
		}
		return nil
	})
	slices.SortFunc(events, func(a, b event.Request) int { return strings.Compare(b.ID, a.ID) })

	day := func(n int) string { return now.AddDate(0, 0, -n).Format(time.DateOnly) }
	moment := func(n int, l string) string { return url.QueryEscape(now.AddDate(0, 0, -n).Format(l)) }
	ranges := []string{
		"", "&start_date=" + day(0), "&start_date=" + day(40), "&end_date=" + day(3), "&end_date=" + day(70),
		"&start_date=" + day(100) + "&end_date=" + day(9),
		"&start_date=" + day(5) + "&end_date=" + day(5),
		"&start_date=" + moment(45, time.RFC3339Nano) + "&end_date=" + moment(2, time.RFC3339Nano),
		"&end_date=0001-01-01T00:00:00Z", "&start_date=" + moment(1, time.RFC3339) + "&end_date=" + moment(0, time.RFC3339),
		"&start_date=" + url.QueryEscape(events[7].At().Format(time.RFC3339Nano)) + "&end_date=" +
			url.QueryEscape(events[7].At().Format(time.RFC3339Nano)),
	}
	filters := []string{"", "&errors_only=true", "&errors_only=false", "&min_status=301&max_status=404", "&min_status=599",
		"&method=PATCH", "&realm_id=" + realm,
		"&method=GET&realm_id=" + realm + "&errors_only=true", "&errors_only=true&max_status=399"}
	for _, r := range ranges {
		for _, f := range filters {
			var want []string
			for _, e := range selectedBy(t, events, r+f) {
				want = append(want, e.ID)
			}
			checkPages(t, h, user, r+f, want)
		}
	}
}

// nthEvent spreads 400 events over 133 days, twice as dense in the last week.
func nthEvent(n int, now time.Time, user auth.Identity, realm string) event.Request {
	when := now.Add(-time.Duration(n) * 8 * time.Hour)
	if n > 300 {
		when = now.Add(-time.Duration(n-300) * 101 * time.Minute)
	}
	e := at(when, user, []string{"GET", "POST", "PUT", "PATCH", "DELETE"}[n%5],
		[]int{200, 201, 301, 399, 400, 404, 500}[n%7])
	if n%3 == 0 {
		e.RealmID = realm
	}
	return e
}

// selectedBy returns the events that a query selects. It repeats the contract's rules in
// the plainest way.
func selectedBy(t testing.TB, events []event.Request, query string) (out []event.Request) {
	t.Helper()
	q, err := url.ParseQuery(strings.TrimPrefix(query, "&"))
	if err != nil {
		t.Fatal(err)
	}
	from, _ := bound(q.Get("start_date"))
	to, endsWithDay := bound(q.Get("end_date"))
	if endsWithDay {
		to = to.AddDate(0, 0, 1).Add(-1)
	}
	number := func(name string, byDefault int) int {
		if n, err := strconv.Atoi(q.Get(name)); err == nil {
			return n
		}
		return byDefault
	}
	least, most := number("min_status", 0), number("max_status", 999)
	if q.Get("errors_only") == "true" {
		least = max(least, 400)
	}
	method, realm := q.Get("method"), q.Get("realm_id")
	for _, e := range events {
		at := e.At()
		if !at.Before(from) && (q.Get("end_date") == "" || !at.After(to)) && e.Status >= least && e.Status <= most &&
			(method == "" || method == e.Method) && (realm == "" || realm == e.RealmID) {
			out = append(out, e)
		}
	}
	return out
}

// bound returns the time of a parameter, and whether it is a whole day.
func bound(s string) (t time.Time, wholeDay bool) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, true
	}
	t, _ = time.Parse(time.RFC3339Nano, s)
	return t, false
}

func checkPages(t *testing.T, h *harness, user auth.Identity, query string, want []string) {
	t.Helper()
	const limit = 30
	pages := (len(want) + limit - 1) / limit
	for page := 1; page <= pages+1; page++ {
		a := h.get(user, fmt.Sprintf("%s?limit=%d&page=%d%s", logPath, limit, page, query))
		var got []string
		for _, r := range a.records(t) {
			got = append(got, r.ID)
		}
		expected := want[min(len(want), (page-1)*limit):min(len(want), page*limit)]
		if !slices.Equal(got, expected) || a.Metadata.Total != len(want) || a.Metadata.Pages != pages {
			t.Errorf("%s page %d: got %d of %+v, want %d of %d", query, page, len(got), a.Metadata, len(expected), len(want))
		}
	}
}
