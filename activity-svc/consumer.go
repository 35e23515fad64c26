package activity

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"time"

	"github.com/realmgate/realmgate/activity-svc/internal/timerange"
	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/trace"
)

// outcome is the result of an event; every event that is taken from the stream has exactly one.
type outcome string

const (
	stored    outcome = "stored"    // a new record
	duplicate outcome = "duplicate" // it was stored before
	dead      outcome = "dead"      // it can never be stored; kept in activity_dead_letters
	expired   outcome = "expired"   // older than the retention when it came
)

// maxPayload is how many bytes are kept of a message that is not an event.
const maxPayload = 64 << 10

// consumer takes events from the stream and stores them.
type consumer struct {
	bus       *bus.Conn
	cfg       bus.ConsumerConfig
	store     *store
	retention Retention
	now       func() time.Time
	clock     *db.Clock
	log       *slog.Logger
	metrics   *metrics
	traces    *trace.Provider // nil: off
}

// run stores batches until ctx ends.
func (c *consumer) run(ctx context.Context) error { return c.bus.Consume(ctx, c.cfg, c.handleBatch) }

// previous is the consumer of the stream in which gateways of the previous release put their
// events. It makes no stream, and takes none that another installation has taken.
func (c *consumer) previous(cfg Config, installation string) *consumer {
	p := *c
	p.cfg = cfg.consumer("")
	p.cfg.Stream.Owner, p.cfg.Adopt = installation, true
	return &p
}

// delivery is one event of a message and its outcome.
type delivery struct {
	data     []byte
	seq      uint64    // of the message
	rows     []*record // none when it is not stored; else the first is in the log of the user who acted
	outcome  outcome
	reason   string // of a dead one
	untimely bool   // too old or too far in the future
}

// bounds are the times between which events are stored.
type bounds struct{ first, last time.Time }

func (c *consumer) boundsAt(now db.Times) bounds {
	return bounds{c.retention.firstDay(now.Earlier()), now.Later().AddDate(0, 0, daysAhead)}
}

// handleBatch stores a batch. Everything is committed before anything is acknowledged: a crash in
// between delivers the batch again, and rows that are there are skipped. An error means that
// nothing was acknowledged and that the batch must be tried again.
func (c *consumer) handleBatch(ctx context.Context, batch []bus.Message) (err error) {
	start := c.now()
	ctx, finish := c.startTrace(ctx, batch)
	defer func() { finish(err) }()
	var deliveries, storable []*delivery
	oldest, mayStore, asked := start, c.boundsAt(db.Times{Process: start, Database: start}), false
	for _, m := range batch {
		for data := range event.Split(m.Data) {
			if event.IsProbe(data) {
				continue
			}
			d, at := c.read(data, m.Seq, mayStore)
			if d.untimely && !asked { // nothing is discarded by the clock of this process alone
				now, err := c.clock.Read(ctx)
				if err != nil {
					return err
				}
				asked, mayStore = true, c.boundsAt(now)
				d, at = c.read(data, m.Seq, mayStore)
			}
			deliveries = append(deliveries, d)
			if d.rows != nil {
				storable = append(storable, d)
				oldest = timerange.Earlier(oldest, at)
			}
		}
	}
	if err := c.insert(ctx, storable); err != nil {
		return err
	}
	if err := c.store.insertDeadLetters(ctx, deadLetters(deliveries)); err != nil {
		return err
	}
	for _, d := range deliveries {
		c.countOutcome(d)
	}
	for _, m := range batch {
		_ = m.Ack() // if that fails the stream delivers again, and then these are duplicates
	}
	if len(deliveries) == 0 { // probes only
		return nil
	}
	end := c.now()
	c.metrics.batchSize.Observe(float64(len(deliveries)))
	c.metrics.batchDuration.Observe(end.Sub(start).Seconds())
	if len(storable) > 0 {
		c.metrics.lag.Observe(end.Sub(oldest).Seconds())
	}
	return nil
}

// read decides whether an event of message seq can be stored, and returns its time.
func (c *consumer) read(data []byte, seq uint64, mayStore bounds) (*delivery, time.Time) {
	d := &delivery{data: data, seq: seq}
	e, err := event.Decode(data)
	at := e.At()
	switch {
	case err != nil:
		d.outcome, d.reason = dead, err.Error()
	case at.After(mayStore.last):
		d.untimely, d.outcome, d.reason = true, dead, "the event's time is more than 7 days in the future"
	case at.Before(mayStore.first):
		d.untimely, d.outcome = true, expired
	default:
		d.rows = recordsOf(e)
	}
	return d, at
}

// insert stores deliveries in one transaction. When the database refuses the data of one of them,
// the halves are stored separately, and so on, until that one is found: it must not hold up the
// others.
func (c *consumer) insert(ctx context.Context, deliveries []*delivery) error {
	var rows []*record
	for _, d := range deliveries {
		rows = append(rows, d.rows...)
	}
	err := c.store.insert(ctx, rows)
	switch {
	case err == nil:
		for _, d := range deliveries {
			d.outcome = duplicate
			if d.rows[0].stored {
				d.outcome = stored
			}
		}
		return nil
	case !isUnstorable(err):
		return err
	case len(deliveries) == 1:
		deliveries[0].outcome, deliveries[0].reason = dead, err.Error()
		return nil
	}
	half := len(deliveries) / 2
	if err := c.insert(ctx, deliveries[:half]); err != nil {
		return err
	}
	return c.insert(ctx, deliveries[half:])
}

func deadLetters(deliveries []*delivery) []deadLetter {
	var out []deadLetter
	for _, d := range deliveries {
		if d.outcome == dead {
			digest := sha256.Sum256(d.data)
			out = append(out, deadLetter{digest: digest[:], seq: d.seq, reason: d.reason,
				payload: d.data[:min(len(d.data), maxPayload)]})
		}
	}
	return out
}

// countOutcome counts an event by its outcome, and logs a dead one.
func (c *consumer) countOutcome(d *delivery) {
	c.metrics.events.WithLabelValues(string(d.outcome)).Inc()
	if d.outcome == dead {
		c.log.Error("an event cannot be stored and is kept as a dead letter", "stream_seq", d.seq, "reason", d.reason)
	}
}

// insertSpan is the name of the span in which an event is stored.
const insertSpan = "insert activity"

// startTrace begins the spans of a batch that has events of traced requests; finish ends them. The
// batch is stored together, so it has one span, with its statements inside of it: it is in the
// trace of the first event and links to all of them. Every other event has a span of its own in its
// own trace, with a link to that of the batch.
func (c *consumer) startTrace(ctx context.Context, batch []bus.Message) (traced context.Context, finish func(error)) {
	if c.traces == nil {
		return ctx, func(error) {}
	}
	var events []string
	for _, m := range batch {
		if trace.Sampled(m.Traceparent) {
			events = append(events, m.Traceparent)
		}
	}
	if len(events) == 0 {
		return ctx, func(error) {}
	}
	start := time.Now()
	traced, whole := c.traces.Consume(ctx, insertSpan, start, events[0], events)
	whole.Text("messaging.system", "nats")
	whole.Number("messaging.batch.message_count", len(batch))
	return traced, func(err error) {
		spans := []trace.Span{whole}
		for _, e := range events[1:] {
			_, span := c.traces.Consume(ctx, insertSpan, start, e, []string{whole.Traceparent()})
			spans = append(spans, span)
		}
		for _, span := range spans {
			if err != nil {
				span.Fail("not stored; tried again")
			}
			span.End()
		}
	}
}
