package main

import (
	"context"
	"fmt"
	"time"

	"github.com/realmgate/realmgate/pkg/id"
)

// The size of the requested pages, and the number of clients.
const (
	fewRows  = 1000
	logConns = 2
	lastPage = 10001
)

// logGroup compares the log of a user with a quarter of all rows with that of a user with a
// thousand rows.
func logGroup() group {
	const (
		manyList, fewList   = "first page with any filter, many rows", "first page with any filter, 1,000 rows"
		manyStats, fewStats = "stats, many rows", "stats, 1,000 rows"
		deepPage            = "page 10,001, many rows"
	)
	return group{name: "log", title: "Reading the log", prepare: func(ctx context.Context, b *bench) (plan, error) {
		many, few := account{id: id.New(time.Now())}, account{id: id.New(time.Now())}
		quarter := b.options.rows / 4
		b.say("copying %d rows into the log", b.options.rows)
		if err := b.loadLog(ctx, b.options.rows, share{few.id, fewRows}, share{many.id, quarter}); err != nil {
			return plan{}, err
		}
		reader, err := b.startService(ctx, "activity-svc", "activity-svc-reader", "ACTIVITY_ADDR") // counts new records
		if err != nil {
			return plan{}, err
		}
		limit := min(50, max(1, quarter/lastPage))
		ask := func(a account, paths ...string) func() (load, error) {
			return func() (load, error) {
				identity, err := b.identity(a, "activity-svc")
				return httpLoad(reader.addr, logConns, func(int) []request {
					var all []request
					for _, path := range paths {
						all = append(all, request{method: "GET", path: path, header: []string{identity}})
					}
					return all
				}, 200), err
			}
		}
		servers := []int{reader.pid(), b.backing.postgresPID}
		filters := logPages(limit)
		const stats = "/api/v1/users/auth/activity/stats"
		deep := fmt.Sprintf("/api/v1/users/auth/activity?page=%d&limit=%d", lastPage, limit)
		return plan{
			subjects: []subject{
				{name: manyList, fresh: ask(many, filters...), servers: servers},
				{name: fewList, fresh: ask(few, filters...), servers: servers},
				{name: deepPage, fresh: ask(many, deep), servers: servers},
				{name: manyStats, fresh: ask(many, stats), servers: servers},
				{name: fewStats, fresh: ask(few, stats), servers: servers},
			},
			targets: []target{
				{what: "p99 of the first page, many rows ÷ 1,000 rows", subject: manyList, baseline: fewList,
					figure: p99(), bound: 3},
				{what: "p99 of stats, many rows ÷ 1,000 rows", subject: manyStats, baseline: fewStats, figure: p99(),
					bound: 3},
				{what: "p99 of page 10,001, many rows ÷ first page, 1,000 rows", subject: deepPage, baseline: fewList,
					figure: p99(), bound: 20},
				{what: "p50 of the first page, many rows ÷ 1,000 rows", subject: manyList, baseline: fewList,
					figure: p50(), bound: 3, informative: true},
			},
			notes: []string{fmt.Sprintf("%d rows over %d days, a quarter of them (%d) one user's, %d another's, "+
				"copied in, then counted by activity-svc itself; %d records a page. The target is written for "+
				"20,000,000 rows: -rows 20000000 measures that. \"Any filter\" takes these in turn: %v. "+
				"activity-svc alone, %d connections; CPU and memory with PostgreSQL.", b.options.rows, logDays, quarter,
				fewRows, limit, queriesOf(filters), logConns)},
		}, nil
	}}
}

// logPages returns first pages with each kind of filter.
func logPages(limit int) []string {
	day := func(ago int) string { return dayOf(time.Now()).AddDate(0, 0, -ago).Format(time.DateOnly) }
	base := fmt.Sprintf("/api/v1/users/auth/activity?limit=%d", limit)
	return []string{
		base, base + "&errors_only=true", base + "&method=PUT", base + "&min_status=200&max_status=299",
		base + "&method=DELETE&errors_only=true",
		base + "&start_date=" + day(40) + "&end_date=" + day(20),
		base + "&start_date=" + day(30) + "T11:22:33Z&end_date=" + day(3) + "T12:00:00Z&method=GET",
	}
}

func queriesOf(paths []string) []string {
	var out []string
	for _, p := range paths {
		out = append(out, p[len("/api/v1/users/auth/activity"):])
	}
	return out
}
