package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/realmgate/realmgate/pkg/event"
)

// activityTable is the log of activity-svc, and a copy of it for rows that measure PostgreSQL
// alone.
const (
	activityTable = "activity_svc.activity"
	copyTable     = "bench.activity"
)

// makeCopyTable creates an empty table with the columns, daily partitions and indexes of the log.
func makeCopyTable(ctx context.Context, url string, days ...time.Time) error {
	err := execute(ctx, url, "CREATE SCHEMA IF NOT EXISTS bench", "DROP TABLE IF EXISTS "+copyTable,
		"CREATE TABLE "+copyTable+" (LIKE "+activityTable+" INCLUDING ALL) PARTITION BY RANGE (id)")
	if err != nil {
		return err
	}
	return makePartitions(ctx, url, "bench", days...)
}

// makePartitions creates the missing partitions of the days, as activity-svc does.
func makePartitions(ctx context.Context, url, schema string, days ...time.Time) error {
	for _, day := range days {
		name := schema + ".activity_" + day.Format("20060102")
		there, err := one[bool](ctx, url, "SELECT to_regclass($1) IS NOT NULL", name)
		if err != nil {
			return err
		}
		if there {
			continue
		}
		err = execute(ctx, url, fmt.Sprintf(`CREATE TABLE %[1]s (LIKE %[2]s.activity INCLUDING ALL)`, name, schema),
			fmt.Sprintf(`ALTER TABLE %[2]s.activity ATTACH PARTITION %[1]s FOR VALUES FROM ('\x%[3]s') TO ('\x%[4]s')`,
				name, schema, firstID(day), firstID(day.Add(24*time.Hour))))
		if err != nil {
			return err
		}
	}
	return nil
}

// copyRows writes events into a table by COPY, one transaction for each batch.
func copyRows(ctx context.Context, url string, table pgx.Identifier, batch, n int, at func(i int) event.Request) error {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	for begin := 0; begin < n; begin += batch {
		rows := pgx.CopyFromSlice(min(batch, n-begin),
			func(i int) ([]any, error) { return columns(at(begin + i)), nil })
		if _, err := c.CopyFrom(ctx, table, activityColumns(), rows); err != nil {
			return err
		}
	}
	return nil
}

// countedOf returns how many records of the users activity-svc has counted.
func countedOf(ctx context.Context, url string, users [][]byte) (int64, error) {
	return one[int64](ctx, url,
		`SELECT coalesce(sum(records), 0)::bigint FROM activity_svc.activity_hourly WHERE user_id = ANY($1)`, users)
}

// share is a user and the number of rows of that user.
type share struct {
	user string
	rows int
}

// logDays is the number of days over which loaded rows are spread. The last one is yesterday.
const logDays = 60

// loadLog copies rows of many users into the log, total in all, ordered by time as in production.
// The rows of each share are spread evenly among the others. Then it lets activity-svc count them
// and PostgreSQL analyse the table.
func (b *bench) loadLog(ctx context.Context, total int, shares ...share) error {
	url := b.backing.cluster.URL(databaseName)
	end := dayOf(time.Now())
	begin := end.AddDate(0, 0, -logDays)
	var days []time.Time
	for d := begin; d.Before(end); d = d.Add(24 * time.Hour) {
		days = append(days, d)
	}
	if err := makePartitions(ctx, url, "activity_svc", days...); err != nil {
		return err
	}
	if err := b.copyLog(ctx, url, begin, end, total, shares); err != nil {
		return err
	}
	recount := exec.CommandContext(ctx, filepath.Join(b.tools.bin, "activity-svc"), "recount")
	recount.Env = b.product.shared
	if err := describe(recount, "recount"); err != nil {
		return err
	}
	return execute(ctx, url, "VACUUM (ANALYZE) "+activityTable, "VACUUM (ANALYZE) activity_svc.activity_hourly",
		"VACUUM (ANALYZE) activity_svc.activity_daily", "CHECKPOINT")
}

// logWriters is the number of connections that copy the log, each an equal part of the time.
const logWriters = 2

// copyLog copies the rows of a period, total in all. The rows of each share are spread evenly among
// the others.
func (b *bench) copyLog(ctx context.Context, url string, begin, end time.Time, total int, shares []share) error {
	others := make([]string, 1000)
	for i := range others {
		others[i] = fmt.Sprintf("0fffff%018x", i)
	}
	step := end.Sub(begin) / time.Duration(total+1)
	work, ctx := errgroup.WithContext(ctx)
	for w := range logWriters {
		first, after := total*w/logWriters, total*(w+1)/logWriters
		r := newRecorder(uint64(total + w))
		work.Go(func() error {
			return copyRows(ctx, url, pgx.Identifier{"activity_svc", "activity"}, 50_000, after-first,
				func(n int) event.Request {
					i := first + n
					user := others[i%len(others)]
					for _, s := range shares { // evenly: row i is the share's when its count passes a whole number
						if int64(i+1)*int64(s.rows)/int64(total) > int64(i)*int64(s.rows)/int64(total) {
							user = s.user
							break
						}
					}
					return r.request(user, begin.Add(step*time.Duration(i)))
				})
		})
	}
	return work.Wait()
}
