package activity

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/activity-svc/internal/series"
	"github.com/realmgate/realmgate/activity-svc/internal/timerange"
	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/input"
)

// chart is the series of events in the plainest way.
func chart(events []event.Request, unit time.Duration, from, to time.Time) []series.Point {
	var out []series.Point
	for start := from.Truncate(unit); !start.After(to); start = start.Add(unit) {
		p := series.Point{Start: api.Time(start)}
		for _, e := range events {
			if e.At().Before(from) || e.At().After(to) || !e.At().Truncate(unit).Equal(start) {
				continue
			}
			p.Total++
			switch e.Status / 100 {
			case 2:
				p.Status2xx++
			case 3:
				p.Status3xx++
			case 4:
				p.Status4xx++
			case 5:
				p.Status5xx++
			}
		}
		out = append(out, p)
	}
	return out
}

func (h *harness) chart(user auth.Identity, path string) []series.Point {
	h.t.Helper()
	a := h.get(user, path)
	var out []series.Point
	if err := json.Unmarshal(a.Data, &out); err != nil || a.StatusCode != 200 {
		h.t.Fatalf("%s: %s", path, a.body)
	}
	return out
}

// TestASeriesAgreesWithAWalkOverTheRecords while days are summed, before they are, and for all
// users together; with events that come after their hour was summed.
func TestASeriesAgreesWithAWalkOverTheRecords(t *testing.T) {
	t.Parallel()
	h := prepare(t)
	s := openStore(t, h.cfg.DB.URL.Reveal())
	user, other, admin := newUser(), newUser(), newUser()
	admin.Admin = true
	realm := "507f1f77bcf86cd799439011"
	now := time.Now().UTC().Truncate(time.Millisecond)
	var mine, all []event.Request
	store := func(first, n int, step time.Duration) {
		t.Helper()
		var rows []*record
		for i := range n {
			who := []auth.Identity{user, other}[i%3/2]
			e := nthEvent(first+i, now, who, realm)
			e = at(now.Add(-time.Duration(i)*step-time.Duration(first)*time.Second), who, e.Method, e.Status)
			if i%5 == 0 {
				e.RealmID = realm
			}
			if all = append(all, e); who.UserID == user.UserID {
				mine = append(mine, e)
			}
			rows = append(rows, recordsOf(e)...)
		}
		if err := s.insert(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
	}
	compare := func(stage string) { compareSeries(t, h, stage, seriesLogs{user, admin, realm, now, mine, all}) }
	store(0, 300, 150*time.Minute)
	h.run()
	compare("at first")
	h.eventually("hours are summed", func() error {
		if n := h.query(`SELECT count(*) FROM activity_watermark WHERE totals_before > now() - interval '2 hours'`); n != 1 {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	compare("when hours are summed")
	store(7, 200, 4*time.Hour)
	compare("after late events")
	want := h.query(`SELECT sum(records) FROM activity_totals`)
	if _, err := s.recount(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if err := s.sumTotals(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := h.query(`SELECT sum(records) FROM activity_totals`); got != want {
		t.Errorf("after a recount the totals have %d records, want %d", got, want)
	}
	compare("after a recount")
}

func TestTheDefaultRangeOfASeriesEndsNow(t *testing.T) {
	t.Parallel()
	h, _ := start(t)
	user := newUser()
	for interval, want := range map[string]struct {
		unit, length time.Duration
	}{"hour": {time.Hour, timerange.Day}, "day": {timerange.Day, 30 * timerange.Day}} {
		before := time.Now().Add(-want.length)
		got := h.chart(user, logPath+"/series?interval="+interval)
		first, last := time.Time(got[0].Start), time.Time(got[len(got)-1].Start)
		if first.Before(before.Truncate(want.unit)) || first.After(time.Now().Add(-want.length)) ||
			time.Since(last) > want.unit+time.Minute || len(got) < int(want.length/want.unit) {
			t.Errorf("%s: %d intervals from %v to %v", interval, len(got), first, last)
		}
		if whole := h.chart(user, logPath+"/series?end_date=2026-03-31&interval="+interval); len(whole) !=
			int(want.length/want.unit) {
			t.Errorf("%s until the end of a day: %d intervals", interval, len(whole))
		}
	}
	if got := h.chart(user, logPath+"/series?interval=hour&start_date=2999-01-01"); len(got) != 0 {
		t.Errorf("from the future: got %d intervals, want 0", len(got))
	}
	if got := h.chart(user, logPath+"/series?interval=hour&start_date=2026-01-01T00:00:00Z&end_date=2026-02-11T15:59:59.999Z"); len(got) != 1000 {
		t.Errorf("got %d intervals, want 1000", len(got))
	}
}

func TestASeriesNamesInvalidParameters(t *testing.T) {
	t.Parallel()
	h, _ := start(t)
	admin := newUser()
	admin.Admin = true
	for query, name := range map[string]string{
		"": "interval", "?interval=": "interval", "?interval=week": "interval", "?interval=hour&method=X": "method",
		"?interval=hour&start_date=2026-01-01T00:00:00Z&end_date=2026-02-11T16:00:00Z": "start_date",
		"?interval=day&start_date=0001-01-01":                                          "start_date",
		"?interval=day&start_date=2026-01-02&end_date=2026-01-01":                      "end_date",
		"?interval=day&end_date=9999-12-31&start_date=2026-01-01":                      "start_date",
	} {
		for _, path := range []string{logPath, "/api/v1/activity"} {
			if a := h.get(admin, path+"/series"+query); a.StatusCode != 400 || !strings.Contains(a.body, `"/`+name+`"`) {
				t.Errorf("%s/series%s: got %s, want a 400 that names %s", path, query, a.body, name)
			}
		}
	}
	token := newUser()
	token.Kind, token.SessionID, token.TokenID = auth.Token, "", token.SessionID
	token.Grant = &auth.Grant{EventAccess: true, AllowNoRealm: true}
	if a := h.get(token, logPath+"/series?interval=day"); a.StatusCode != 200 {
		t.Errorf("a token: %s", a.body)
	}
	for _, who := range []auth.Identity{token, newUser()} {
		if a := h.get(who, "/api/v1/activity/series?interval=day"); a.StatusCode != 403 ||
			a.Code != "INSUFFICIENT_PERMISSIONS" {
			t.Errorf("all users' series for %s: %s", who.Kind, a.body)
		}
	}
}

// TestADayIsSummedThatEndsWithoutRecords: its first hours are summed as they end, and nothing comes
// after them.
func TestADayIsSummedThatEndsWithoutRecords(t *testing.T) {
	t.Parallel()
	s, user := newStore(t), newUser()
	day := timerange.DayOf(time.Now()).AddDate(0, 0, -10)
	var events []event.Request
	add := func(times ...time.Time) {
		t.Helper()
		var rows []*record
		for _, when := range times {
			e := at(when, user, "GET", 200)
			events, rows = append(events, e), append(rows, recordsOf(e)...)
		}
		if err := s.insert(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		until time.Duration
		times []time.Time
	}{
		{10*time.Hour + time.Minute, []time.Time{day.Add(time.Hour), day.Add(9 * time.Hour), day.Add(10 * time.Hour)}},
		{12 * time.Hour, nil},
		{3*timerange.Day + 5*time.Hour, []time.Time{day.Add(3*timerange.Day + time.Hour)}},
		{3*timerange.Day + 6*time.Hour, []time.Time{day.Add(11 * time.Hour), day.Add(2 * timerange.Day)}},
		{5 * timerange.Day, nil},
	} {
		add(step.times...)
		if err := s.moveWatermark(t.Context(), day.Add(step.until)); err != nil {
			t.Fatal(err)
		}
		if err := s.sumTotals(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := timerange.Range{From: day, To: day.Add(6 * timerange.Day)}
		for _, interval := range []string{"hour", "day"} {
			q := input.NewQuery(func(name string) []string { return url.Values{"interval": {interval}}[name] })
			got := series.Read(q, r, day)
			if err := s.fillSeries(t.Context(), allRecords(""), got); err != nil {
				t.Fatal(err)
			}
			if want := chart(events, got.Unit, r.From, r.To.Add(-1)); !slices.Equal(got.Points, want) {
				t.Errorf("until %v, by the %s: got %+v\nwant %+v", step.until, interval, got.Points, want)
			}
		}
	}
}

// seriesLogs are the logs of a user and of all users, and those who read them.
type seriesLogs struct {
	user, admin auth.Identity
	realm       string
	now         time.Time
	mine, all   []event.Request
}

// compareSeries compares the series of both logs with the records that they count.
func compareSeries(t *testing.T, h *harness, stage string, logs seriesLogs) {
	date := func(t time.Time) string { return url.QueryEscape(t.Format(time.RFC3339Nano)) }
	t.Helper()
	for _, r := range []timerange.Range{{From: logs.now.Add(-33 * time.Hour).Add(-17 * time.Minute), To: logs.now},
		{From: logs.now.Add(-30 * timerange.Day), To: logs.now.Add(-29 * timerange.Day).Add(-time.Minute)},
		{From: logs.mine[2].At(), To: logs.mine[2].At()}, {From: logs.now.Add(-time.Hour), To: logs.now.Add(3 * time.Hour)}} {
		for unit, interval := range map[time.Duration]string{time.Hour: "hour", timerange.Day: "day"} {
			for _, f := range []string{"", "&errors_only=true", "&method=PUT", "&realm_id=" + logs.realm + "&max_status=299"} {
				query := fmt.Sprintf("?interval=%s&start_date=%s&end_date=%s%s", interval, date(r.From), date(r.To), f)
				for path, events := range map[string][]event.Request{logPath: logs.mine, "/api/v1/activity": logs.all} {
					got := h.chart(map[bool]auth.Identity{true: logs.user, false: logs.admin}[path == logPath], path+"/series"+query)
					want := chart(selectedBy(t, events, f), unit, r.From, r.To)
					if !slices.Equal(got, want) {
						t.Errorf("%s: %s%s: got %+v\nwant %+v", stage, path, query, got, want)
					}
				}
			}
		}
	}
}
