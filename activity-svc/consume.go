package activity

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"time"

	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/trace"
)

// outcome is what became of an event; every event that is taken from the stream ends as exactly
// one.
type outcome string

const (
	stored    outcome = "stored"    // a new record
	duplicate outcome = "duplicate" // it was stored before
	dead      outcome = "dead"      // it can never be stored; kept in activity_dead_letters
	expired   outcome = "expired"   // older than the retention when it came
)

// maxPayload bounds what is kept of a message that is no event.
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
func (c *consumer) run(ctx context.Context) error { return c.bus.Consume(ctx, c.cfg, c.take) }

// previous is the consumer of the stream in which gateways of the previous release put their
// events. It makes no stream, and takes none that another installation has taken.
func (c *consumer) previous(cfg Config, installation string) *consumer {
	p := *c
	p.cfg = cfg.consumer("")
	p.cfg.Stream.Owner, p.cfg.Adopt = installation, true
	return &p
}

// delivery is one event of a message and what becomes of it.
type delivery struct {
	data     []byte
	seq      uint64    // of the message
	rows     []*record // none when it is not stored; else the first belongs to who acted
	outcome  outcome
	reason   string // of a dead one
	untimely bool   // too old or too far in the future
}

// bounds are the times between which events are stored.
type bounds struct{ first, last time.Time }

func (c *consumer) boundsAt(now db.Times) bounds {
	return bounds{c.retention.firstDay(now.Earlier()), now.Later().AddDate(0, 0, daysAhead)}
}

// take stores a batch. Everything is committed before anything is acknowledged: a crash in between
// delivers the batch again, and what is there is passed over. An error means that nothing was
// acknowledged and that the batch must be tried again.
func (c *consumer) take(ctx context.Context, batch []bus.Message) (err error) {
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
			if d.untimely && !asked { // by the clock of this process alone nothing is lost
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
				oldest = earlier(oldest, at)
			}
		}
	}
	if err := c.put(ctx, storable); err != nil {
		return err
	}
	if err := c.store.bury(ctx, deadLetters(deliveries)); err != nil {
		return err
	}
	for _, d := range deliveries {
		c.settle(d)
	}
	for _, m := range batch {
		_ = m.Ack() // when the stream cannot be told it delivers again, and then these are duplicates
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

// put stores deliveries in one transaction. When one of them is such that no database would take
// it, the halves are stored each by itself, and so on, until that one is alone and found: it must
// not hold up the others.
func (c *consumer) put(ctx context.Context, deliveries []*delivery) error {
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
	if err := c.put(ctx, deliveries[:half]); err != nil {
		return err
	}
	return c.put(ctx, deliveries[half:])
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

// settle counts what became of an event.
func (c *consumer) settle(d *delivery) {
	c.metrics.events.WithLabelValues(string(d.outcome)).Inc()
	if d.outcome == dead {
		c.log.Error("an event cannot be stored and is kept as a dead letter", "stream_seq", d.seq, "reason", d.reason)
	}
}
