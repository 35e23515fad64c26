package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/config"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/id"
)

// ingestBatch and ingestWriters are the defaults of activity-svc, which the baseline uses too.
const (
	ingestBatch   = 1000
	ingestWriters = 2
	ingestUsers   = 50
)

// ingestGroup compares what activity-svc stores in a second with what COPY does with the same rows.
func ingestGroup() group {
	const stored, copied = "activity-svc: from JetStream into the log, counted", "COPY of the same rows into the same table"
	return group{name: "ingest", title: "Storing the log", prepare: func(ctx context.Context, b *bench) (plan, error) {
		n := max(20_000, int(40_000*b.options.seconds))
		url := b.backing.cluster.URL(databaseName)
		today := dayOf(time.Now())
		if err := makeCopyTable(ctx, url, today, today.Add(24*time.Hour)); err != nil {
			return plan{}, err
		}
		nats, err := bus.Connect(bus.Config{URL: config.Secret(b.backing.natsURL)}, "bench", slog.New(slog.DiscardHandler))
		if err != nil {
			return plan{}, err
		}
		b.onStop(func(context.Context) { nats.Close() })
		g := &ingest{b: b, nats: nats, url: url}
		servers := []int{b.product.activity.pid(), b.backing.postgresPID, b.backing.nats.pid()}
		return plan{
			unit: "rows",
			subjects: []subject{
				{name: stored, servers: servers, before: func(ctx context.Context) error { return g.publish(ctx, n) }, measure: g.drain},
				{name: copied, servers: []int{b.backing.postgresPID}, before: func(context.Context) error { g.events = makeEvents(n); return nil }, measure: g.copy},
			},
			targets: []target{{what: "rows stored ÷ rows copied", subject: stored, baseline: copied, figure: throughput(), atLeast: true, bound: 0.6}},
			notes: []string{fmt.Sprintf("%d events of %d users a round, published while activity-svc stands still; then the time from its first batch to its last "+
				"(duplicates refused, counts kept, %d writers). COPY: batches of %d, each a transaction, by %d connections into an equal table. Both tables grow from "+
				"round to round.", n, ingestUsers, ingestWriters, ingestBatch, ingestWriters)},
		}, nil
	}}
}

// ingest is the state of a round.
type ingest struct {
	b      *bench
	nats   *bus.Conn
	url    string
	events []event.Request
}

// makeEvents makes events of today by users that nobody has seen before.
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

// publish stops activity-svc for a while and fills the stream.
func (g *ingest) publish(ctx context.Context, n int) error {
	g.events = makeEvents(n)
	if err := g.b.product.activity.freeze(); err != nil {
		return err
	}
	const atOnce = 2000
	for begin := 0; begin < n; begin += atOnce {
		var under []bus.Future
		for _, e := range g.events[begin:min(begin+atOnce, n)] {
			raw, err := e.Encode()
			if err != nil {
				return err
			}
			f, err := g.nats.Publish(event.Subject, e.ID, raw)
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

// drain lets activity-svc go on and waits until everything is stored.
func (g *ingest) drain(ctx context.Context) (cell, error) {
	users := map[string]bool{}
	var keys [][]byte
	for _, e := range g.events {
		if !users[e.UserID] {
			users[e.UserID] = true
			keys = append(keys, unhex(e.UserID))
		}
	}
	c, err := pgx.Connect(ctx, g.url)
	if err != nil {
		return cell{}, errors.Join(err, g.b.product.activity.thaw())
	}
	defer c.Close(context.WithoutCancel(ctx))
	pids := []int{g.b.product.activity.pid(), g.b.backing.postgresPID, g.b.backing.nats.pid()}
	used := cpuOf(pids)
	if err := g.b.product.activity.thaw(); err != nil {
		return cell{}, err
	}
	var first int64
	var since time.Time
	for deadline := time.Now().Add(startTimeout); ; sleep(ctx, pollEvery) {
		n, err := storedOf(ctx, c, keys)
		switch now := time.Now(); {
		case err != nil:
			return cell{}, err
		case n == int64(len(g.events)):
			return cell{Requests: n - first, Took: now.Sub(since), CPU: cpuOf(pids) - used}, nil
		case now.After(deadline):
			return cell{}, fmt.Errorf("%d of %d events were stored in %s", n, len(g.events), startTimeout)
		case n > 0 && first == 0:
			first, since = n, now
		}
	}
}

// copy is the baseline.
func (g *ingest) copy(ctx context.Context) (cell, error) {
	began, used := time.Now(), cpuOf([]int{g.b.backing.postgresPID})
	failures := make([]error, ingestWriters)
	part := len(g.events) / ingestWriters
	var all sync.WaitGroup
	for i := range ingestWriters {
		all.Go(func() {
			failures[i] = copyRows(ctx, g.url, pgx.Identifier{"bench", "activity"}, ingestBatch, part, func(k int) event.Request { return g.events[i*part+k] })
		})
	}
	all.Wait()
	return cell{Requests: int64(part * ingestWriters), Took: time.Since(began), CPU: cpuOf([]int{g.b.backing.postgresPID}) - used}, errors.Join(failures...)
}
