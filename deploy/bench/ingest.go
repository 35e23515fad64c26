package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/id"
)

// ingestBatch and ingestWriters are the defaults of activity-svc, used by the baseline too.
const (
	ingestBatch   = 1000
	ingestWriters = 2
	ingestUsers   = 50
)

// ingestGroup compares the rate at which activity-svc stores events with COPY of the same rows.
func ingestGroup() group {
	const stored, copied = "activity-svc: from JetStream into the log, counted",
		"COPY of the same rows into the same table"
	return group{name: "ingest", title: "Storing the log", prepare: func(ctx context.Context, b *bench) (plan, error) {
		n := max(20_000, int(40_000*b.options.seconds))
		url := b.backing.cluster.URL(databaseName)
		today := dayOf(time.Now())
		if err := makeCopyTable(ctx, url, today, today.Add(24*time.Hour)); err != nil {
			return plan{}, err
		}
		nats, err := bus.Connect(bus.Config{URL: config.Secret(b.backing.natsURL)}, "bench",
			slog.New(slog.DiscardHandler))
		if err != nil {
			return plan{}, err
		}
		b.onStop(func(context.Context) { nats.Close() })
		g := &ingest{b: b, nats: nats, url: url}
		servers := []int{b.product.activity.pid(), b.backing.postgresPID, b.backing.nats.pid()}
		return plan{
			unit: "rows",
			subjects: []subject{
				{name: stored, servers: servers, before: func(ctx context.Context) error { return g.publish(ctx, n) },
					measure: g.drain},
				{name: copied, servers: []int{b.backing.postgresPID},
					before: func(context.Context) error { g.events = makeEvents(n); return nil }, measure: g.copy},
			},
			targets: []target{{what: "rows stored ÷ rows copied", subject: stored, baseline: copied,
				figure: throughput(), atLeast: true, bound: 0.6}},
			notes: []string{fmt.Sprintf("%d events of %d users a round, published while activity-svc stands still; "+
				"then its rate from its first batch to its last, duplicates refused, by %d writers. CPU per row has "+
				"the counting of the records in it, which follows every few seconds. COPY: batches of %d, each a "+
				"transaction, by %d connections into an equal table. Both tables grow from round to round.", n,
				ingestUsers, ingestWriters, ingestBatch, ingestWriters)},
		}, nil
	}}
}

// ingest is the state of a round.
type ingest struct {
	b      *bench
	nats   *bus.Conn
	url    string
	events []event.Request
	round  int
}

// makeEvents makes events of today by new users.
func makeEvents(n int) []event.Request {
	now := time.Now()
	r := newRecorder(uint64(now.UnixNano()))
	users := make([]string, ingestUsers)
	for i := range users {
		users[i] = id.New(now)
	}
	events := make([]event.Request, n)
	for i := range events {
		events[i] = r.request(users[i*7%len(users)], now.Add(time.Duration(i)*time.Microsecond))
	}
	return events
}

// publish suspends activity-svc and fills the stream.
func (g *ingest) publish(ctx context.Context, n int) error {
	g.events = makeEvents(n)
	if err := g.b.product.activity.freeze(); err != nil {
		return err
	}
	subject, err := g.b.eventSubject(ctx)
	if err != nil {
		return err
	}
	const atOnce = 2000
	for begin := 0; begin < n; begin += atOnce {
		var messages []event.Message
		for _, e := range g.events[begin:min(begin+atOnce, n)] {
			raw, err := e.Encode()
			if err != nil {
				return err
			}
			messages = event.Pack(messages, e.ID, raw, "", event.MaxMessage) // packed like the gateway's messages
		}
		var under []bus.Future
		for _, m := range messages {
			f, err := g.nats.Publish(subject, m.ID(), "", m.Data)
			if err != nil {
				return err
			}
			under = append(under, f)
		}
		for _, f := range under {
			select {
			case <-f.OK:
			case err := <-f.Err:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// drain resumes activity-svc and waits until all events are stored and counted.
func (g *ingest) drain(ctx context.Context) (cell, error) {
	pids := []int{g.b.product.activity.pid(), g.b.backing.postgresPID, g.b.backing.nats.pid()}
	used := cpuOf(pids)
	if err := g.b.product.activity.thaw(); err != nil {
		return cell{}, err
	}
	before, err := storedEvents(g.b.product.activity.admin)
	if err != nil {
		return cell{}, err
	}
	profiled := g.b.profile(group{name: "ingest"}, subject{name: "drain", servers: pids}, g.round, time.Second)
	defer profiled()
	g.round++
	c := cell{Requests: int64(len(g.events))}
	var first int64
	var since time.Time
	for deadline := time.Now().Add(startTimeout); c.Amount == 0; sleep(ctx, pollEvery) {
		n, err := storedEvents(g.b.product.activity.admin)
		n -= before
		switch now := time.Now(); {
		case err != nil || ctx.Err() != nil:
			return c, errors.Join(err, ctx.Err())
		case n >= c.Requests:
			c.Took = now.Sub(since)
			c.Amount = float64(n-first) / c.Took.Seconds()
		case now.After(deadline):
			return c, fmt.Errorf("%d of %d events were stored in %s", n, c.Requests, startTimeout)
		case n > 0 && first == 0:
			first, since = n, now
		}
	}
	err = g.counted(ctx)
	c.CPU = cpuOf(pids) - used
	return c, err
}

// counted waits until the counts of the round's users include all their records: that work is part
// of storing them.
func (g *ingest) counted(ctx context.Context) error {
	seen := map[string]bool{}
	var users [][]byte
	for _, e := range g.events {
		if !seen[e.UserID] {
			seen[e.UserID] = true
			users = append(users, unhex(e.UserID))
		}
	}
	for deadline := time.Now().Add(startTimeout); ctx.Err() == nil; sleep(ctx, settleLook) {
		n, err := countedOf(ctx, g.url, users)
		if err != nil || n == int64(len(g.events)) {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d events were counted in %s", n, len(g.events), startTimeout)
		}
	}
	return ctx.Err()
}

// storedEvents reads from the metrics of activity-svc how many events it has stored.
func storedEvents(admin string) (int64, error) {
	status, body, err := httpGet("http://" + admin + "/metrics")
	if err != nil || status != 200 {
		return 0, fmt.Errorf("metrics of activity-svc: %d: %w", status, err)
	}
	m := regexp.MustCompile(`(?m)^activity_events_total\{outcome="stored"\} (\S+)$`).FindSubmatch(body)
	if m == nil {
		return 0, errors.New("activity-svc does not count the events that it stored")
	}
	n, err := strconv.ParseFloat(string(m[1]), 64)
	return int64(n), err
}

// copy measures the baseline.
func (g *ingest) copy(ctx context.Context) (cell, error) {
	began, used := time.Now(), cpuOf([]int{g.b.backing.postgresPID})
	failures := make([]error, ingestWriters)
	part := len(g.events) / ingestWriters
	var all sync.WaitGroup
	for i := range ingestWriters {
		all.Go(func() {
			failures[i] = copyRows(ctx, g.url, pgx.Identifier{"bench", "activity"}, ingestBatch, part,
				func(k int) event.Request { return g.events[i*part+k] })
		})
	}
	all.Wait()
	return cell{Requests: int64(part * ingestWriters), Took: time.Since(began),
		CPU: cpuOf([]int{g.b.backing.postgresPID}) - used}, errors.Join(failures...)
}
