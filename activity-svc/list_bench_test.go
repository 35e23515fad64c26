package activity

import (
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/realmgate/realmgate/activity-svc/internal/search"
	"github.com/realmgate/realmgate/activity-svc/internal/series"
	"github.com/realmgate/realmgate/activity-svc/internal/timerange"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/input"
)

// BenchmarkRead compares reading the log of a user who made a quarter of all records, over a year,
// to that of one with 1,000. ACTIVITY_BENCH_ROWS says how many records there are in all (400,000).
// The metric "p99-ratio" is the busy user's p99 by the other's.
func BenchmarkRead(b *testing.B) {
	total, _ := strconv.Atoi(os.Getenv("ACTIVITY_BENCH_ROWS"))
	total = max(total, 400_000)
	s := newStore(b)
	busy, quiet := raw(id.New(time.Now())), raw(id.New(time.Now()))
	fill(b, s, busy, quiet, total)
	now := time.Now()
	day := func(n int) time.Time { return timerange.DayOf(now).AddDate(0, 0, -n) }
	for _, c := range []struct {
		name string
		edit func(*filter)
		page int64
	}{
		{"first page", func(*filter) {}, 1},
		{"errors", func(f *filter) { f.minStatus = 400 }, 1},
		{"a rare status", func(f *filter) { f.minStatus, f.maxStatus = 503, 503 }, 1},
		{"a status that never was", func(f *filter) { f.minStatus, f.maxStatus = 599, 599 }, 1},
		{"method and realm", func(f *filter) { f.method, f.realmID = "DELETE", raw("507f1f77bcf86cd799439011") }, 1},
		{"a range of days", func(f *filter) { f.from, f.to = day(200), day(20) }, 1},
		{"a range of hours", func(f *filter) { f.from, f.to = day(200).Add(7*time.Hour), day(20).Add(5*time.Hour) }, 1},
		{"page 2001", func(*filter) {}, 2001},
		{"page 2001 of GET", func(f *filter) { f.method = "GET" }, 1001},
		{"stats", nil, 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			took := map[string][]time.Duration{}
			for range b.N {
				for _, user := range []string{busy, quiet} {
					f := allRecords(user)
					start := time.Now()
					var err error
					if c.edit == nil {
						_, err = s.stats(b.Context(), f)
					} else {
						c.edit(&f)
						_, _, err = s.list(b.Context(), f, (c.page-1)*50, 50)
					}
					if err != nil {
						b.Fatal(err)
					}
					took[user] = append(took[user], time.Since(start))
				}
			}
			at := func(user string, share float64) float64 {
				slices.Sort(took[user])
				return took[user][int(share*float64(b.N-1))].Seconds() * 1000
			}
			b.ReportMetric(at(busy, .5), "busy-p50-ms")
			b.ReportMetric(at(quiet, .5), "quiet-p50-ms")
			b.ReportMetric(at(busy, .5)/at(quiet, .5), "p50-ratio")
			b.ReportMetric(at(busy, .99)/at(quiet, .99), "p99-ratio")
		})
	}
}

// fill makes records of the past year: a quarter of them of busy, 1,000 of quiet, the rest of 500
// others.
func fill(b *testing.B, s *store, busy, quiet string, total int) {
	b.Helper()
	var days []time.Time
	for n := range 365 {
		days = append(days, timerange.DayOf(time.Now()).AddDate(0, 0, -n-1))
	}
	if err := s.makePartitions(b.Context(), days); err != nil {
		b.Fatal(err)
	}
	for _, part := range []struct {
		user string // "" for many
		n    int
	}{{busy, total / 4}, {quiet, 1000}, {"", total - total/4 - 1000}} {
		user := fmt.Sprintf(`'\x%x'::bytea`, part.user)
		if part.user == "" {
			user = `decode(lpad(to_hex(n % 500), 24, '0'), 'hex')`
		}
		_, err := s.pool.Exec(b.Context(), fmt.Sprintf(`
			INSERT INTO activity (user_id, id, realm_id, method, path, status, ip_address, user_agent)
			SELECT %s, decode(lpad(to_hex($2::bigint + (n::float8 / $1 * $3::bigint)::bigint), 12, '0') || substr(md5(n::text), 1, 12), 'hex'),
			       CASE n %% 4 WHEN 0 THEN '\x507f1f77bcf86cd799439011'::bytea ELSE '' END, (ARRAY['GET','GET','GET','POST','PUT','PATCH','DELETE'])[1 + (random() * 6)::int],
			       '/api/v1/vault/keys/' || n, CASE WHEN random() < 0.001 THEN 503 ELSE (ARRAY[200,200,200,201,301,400,401,404,500])[1 + (random() * 8)::int] END,
			       '203.0.113.7', 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36'
			FROM generate_series(0, $1 - 1) AS n`, user), part.n, days[364].UnixMilli(), (365*timerange.Day - time.Hour).Milliseconds())
		if err != nil {
			b.Fatal(err)
		}
	}
	if _, err := s.recount(b.Context(), time.Now().Truncate(time.Millisecond)); err != nil {
		b.Fatal(err)
	}
	maintain(b, newMaintainer(b, s, &clock{}, 366))
	if _, err := s.pool.Exec(b.Context(), `VACUUM ANALYZE`); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSearch searches the log of the busy user of fill for what is not there, and for what is
// everywhere.
func BenchmarkSearch(b *testing.B) {
	total, _ := strconv.Atoi(os.Getenv("ACTIVITY_BENCH_ROWS"))
	s := newStore(b)
	busy := raw(id.New(time.Now()))
	fill(b, s, busy, raw(id.New(time.Now())), max(total, 400_000))
	for _, c := range []struct {
		name   string
		search search.Filter
	}{
		{"every path", search.Filter{Path: "/api"}},
		{"no path", search.Filter{Path: "/none"}},
		{"no request", search.Filter{RequestID: "none"}},
		{"no address", search.Filter{Addresses: netip.MustParsePrefix("192.0.2.0/24")}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for range b.N {
				f := allRecords(busy)
				f.search = c.search
				if _, _, _, err := s.searchPage(b.Context(), f, 0, 50); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSeries makes charts of a year and of a day, of the busy user of fill and of all users.
func BenchmarkSeries(b *testing.B) {
	total, _ := strconv.Atoi(os.Getenv("ACTIVITY_BENCH_ROWS"))
	s := newStore(b)
	busy := raw(id.New(time.Now()))
	fill(b, s, busy, raw(id.New(time.Now())), max(total, 400_000))
	today := timerange.DayOf(time.Now())
	for name, r := range map[string]timerange.Range{"a year": {From: today.AddDate(-1, 0, 0), To: today},
		"a day": {From: today.AddDate(0, 0, -2), To: today.AddDate(0, 0, -1)}} {
		for who, user := range map[string]string{"one user": busy, "all users": ""} {
			b.Run(name+" of "+who, func(b *testing.B) {
				for range b.N {
					unit := url.Values{"interval": {map[string]string{"a year": "day", "a day": "hour"}[name]}}
					q := input.NewQuery(func(name string) []string { return unit[name] })
					if err := s.fillSeries(b.Context(), allRecords(user), series.Read(q, r, today)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
