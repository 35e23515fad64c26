package journal

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/tidwall/wal"

	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/monotonic"
)

// Publisher is the part of JetStream that the shipper uses.
type Publisher interface {
	Publish(subject, msgID, traceparent string, data []byte) (bus.Future, error)
	MaxData() int // of one message; 0: not known
}

// Shipper sends the journal's events to JetStream, in order, and acknowledges to the journal the
// events that JetStream acknowledged. It retries for ever. An event that is sent twice is stored
// once, because it has the same id.
type Shipper struct {
	journal *Journal
	to      Publisher
	subject func() (string, error) // of events; an error until it is known
	log     *slog.Logger

	lastMaxData int // the last answer of Publisher.MaxData
}

// NewShipper returns a shipper of j's events to p. subject returns an error until the subject is
// known.
func NewShipper(j *Journal, p Publisher, subject func() (string, error), log *slog.Logger) *Shipper {
	return &Shipper{journal: j, to: p, subject: subject, log: log}
}

const (
	batchSize = 1000 // events in flight
	// batchDelay is the pause after a batch that was not full, so that the next events share a
	// batch. The first event after an idle time does not wait.
	batchDelay = 20 * time.Millisecond
	// ackTimeout bounds the wait for the acknowledgements of one batch.
	ackTimeout = 10 * time.Second
	// ageWait is how long shipping must have failed before events are dropped for their age: the
	// time of day may be wrong for a moment.
	ageWait = time.Hour
	// drainTimeout bounds shipping after the process was told to stop.
	drainTimeout = 5 * time.Second
)

// Run ships until ctx ends, and then the remaining events for at most drainTimeout. It waits for a
// batch in flight: a second attempt would pack it together with newer events into messages with
// other ids, which JetStream would not recognise as duplicates.
func (s *Shipper) Run(ctx context.Context) error {
	drainCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(drainTimeout, cancel) })()
	pause := &backoff.ExponentialBackOff{InitialInterval: 50 * time.Millisecond, Multiplier: 2, RandomizationFactor: 0.3,
		MaxInterval: 5 * time.Second}
	clock, failing := monotonic.Clock(), time.Time{}
	for ctx.Err() == nil {
		shipped, err := s.step(drainCtx)
		if err == nil {
			failing = time.Time{}
		} else if failing.IsZero() {
			failing = time.Now()
		}
		switch {
		case err != nil && ctx.Err() == nil:
			d := pause.NextBackOff()
			s.log.Warn("events wait in the journal", "error", err.Error(), "pause", d)
			if time.Since(failing) >= min(ageWait, s.journal.cfg.MaxAge) {
				s.enforceMaxAge(clock())
			}
			wait(ctx, d)
		case err == nil && shipped == 0:
			select {
			case <-ctx.Done():
			case <-s.journal.wake:
			}
		case err == nil:
			pause.Reset()
			s.journal.overAge.Store(false)
			if shipped < batchSize {
				wait(ctx, batchDelay)
			}
		}
	}
	for {
		shipped, err := s.step(drainCtx)
		if err != nil || shipped == 0 {
			return nil // the remaining events are shipped after the next start
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// step ships one batch and returns the number of its records.
func (s *Shipper) step(ctx context.Context) (int, error) {
	seg, records, err := s.journal.next(batchSize)
	maxMessage := s.maxMessage()
	messages, damaged, large := pack(records, maxMessage)
	if damaged > 0 || errors.Is(err, wal.ErrCorrupt) || errors.Is(err, wal.ErrNotFound) {
		if repaired, err := s.journal.repairLive(seg); repaired || err != nil {
			return 0, errors.Join(errDamaged, err) // the next step ships the remaining records
		}
	}
	if len(records) == 0 {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	subject, err := s.subject()
	if err != nil {
		return 0, err
	}
	futures := make([]bus.Future, len(messages))
	for i, m := range messages {
		if futures[i], err = s.to.Publish(subject, m.ID(), m.Traceparent, m.Data); err != nil {
			return 0, err
		}
	}
	for _, f := range futures {
		select {
		case <-f.OK:
		case err := <-f.Err:
			return 0, err
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	s.journal.metrics.shipped.Add(float64(len(records) - damaged - large))
	if large > 0 {
		s.journal.metrics.dropped.WithLabelValues(dropLarge).Add(float64(large))
		s.log.Error("events are lost that are larger than NATS takes: raise its max_payload", "events", large, "largest",
			maxMessage)
	}
	s.journal.metrics.dropped.WithLabelValues(dropCorrupt).Add(float64(damaged))
	return len(records), s.journal.ack(seg, len(records))
}

// maxMessage returns the most bytes that a message may have. It logs a limit of the server that is
// too small for some events, once for each limit.
func (s *Shipper) maxMessage() int {
	data := s.to.MaxData()
	if data != s.lastMaxData && data != 0 && data < maxRecord {
		s.log.Warn("NATS takes small messages only, and an event may be larger and is then lost: raise its max_payload",
			"largest", data)
	}
	s.lastMaxData = data
	if data == 0 { // nothing can be published now
		return event.MaxMessage
	}
	return min(data, event.MaxMessage)
}

// pack makes messages of at most maxMessage bytes from the records, in their order. It returns the
// numbers of records that are damaged, and too large for a message.
func pack(records [][]byte, maxMessage int) (messages []event.Message, damaged, large int) {
	for _, r := range records {
		eventID, body, ok := decodeRecord(r)
		switch {
		case !ok:
			damaged++
		case len(body) > maxMessage:
			large++
		default:
			messages = event.Pack(messages, eventID, body, event.Traceparent(body), maxMessage)
		}
	}
	return messages, damaged, large
}

// enforceMaxAge drops events older than JOURNAL_MAX_AGE, or in mode "required" makes the journal
// accept no more. It uses the earlier of the time of day and now.
func (s *Shipper) enforceMaxAge(now time.Time) {
	if s.journal.cfg.MaxAge == 0 {
		return
	}
	for {
		seg, records, err := s.journal.next(batchSize)
		if err != nil || len(records) == 0 {
			return
		}
		old := slices.IndexFunc(records, func(r []byte) bool {
			eventID, _, ok := decodeRecord(r)
			at, _ := id.Time(eventID)
			return ok && min(time.Since(at), now.Sub(at)) < s.journal.cfg.MaxAge
		})
		if old < 0 {
			old = len(records)
		}
		if old == 0 {
			s.journal.overAge.Store(false)
			return
		}
		if s.journal.cfg.Mode == ModeRequired {
			s.journal.overAge.Store(true)
			return
		}
		s.journal.metrics.dropped.WithLabelValues(dropAge).Add(float64(old))
		if err := s.journal.ack(seg, old); err != nil {
			return
		}
	}
}

// next returns the oldest records without an acknowledgement, all of one segment. With an error it
// returns the segment alone, and nothing when every record is acknowledged. Only the shipper calls
// it.
func (j *Journal) next(max int) (*segment, [][]byte, error) {
	j.shipping.Lock()
	defer j.shipping.Unlock()
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil, nil, errClosed
	}
	var idle []*segment
	var seg *segment
	for _, s := range j.segments {
		switch {
		case seg == nil && s.acked < s.entries:
			seg = s
		case s != j.current && s.log != nil:
			idle = append(idle, s)
		}
	}
	var acked, entries uint64
	if seg != nil {
		acked, entries = seg.acked, seg.entries
	}
	j.mu.Unlock()
	for _, s := range idle { // neither read nor written now: free their memory
		if err := s.close(); err != nil {
			j.log.Warn("close a segment of the journal", "error", err.Error())
		}
	}
	if seg == nil {
		j.oldest.Store(0)
		return nil, nil, nil
	}
	if seg.log == nil {
		if err := seg.open(); err != nil {
			return seg, nil, err
		}
	}
	records, err := seg.read(acked, entries, max)
	if len(records) > 0 {
		err = nil
		eventID, _, _ := decodeRecord(records[0])
		if at, ok := id.Time(eventID); ok {
			j.oldest.Store(at.UnixMilli())
		}
	}
	return seg, records, err
}

// errDamaged reports damage to a segment that was found while the process ran.
var errDamaged = errors.New("a segment of the journal is damaged")

// repairLive repairs a damaged segment while the process runs, counts the lost events, and reports
// whether the segment changed.
func (j *Journal) repairLive(seg *segment) (bool, error) {
	j.shipping.Lock()
	defer j.shipping.Unlock()
	j.mu.Lock()
	closed, current := j.closed, seg == j.current
	j.mu.Unlock()
	if closed || current { // wal reads the current segment from memory
		return false, nil
	}
	if err := seg.close(); err != nil {
		return false, err
	}
	now := &segment{seq: seg.seq, dir: seg.dir}
	changed, err := now.repair(j.log)
	if err != nil {
		return false, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	now.acked = min(seg.acked, now.entries)
	lost := int64(seg.entries-seg.acked) - int64(now.entries-now.acked)
	j.bytes += now.bytes - seg.bytes
	j.entries -= lost
	changed = changed || now.entries != seg.entries
	seg.entries, seg.acked, seg.bytes = now.entries, now.acked, now.bytes
	j.metrics.dropped.WithLabelValues(dropCorrupt).Add(float64(max(lost, 0)))
	return changed, nil
}

// ack marks n more records of seg as acknowledged, and removes the segments without other records.
func (j *Journal) ack(seg *segment, n int) error {
	j.shipping.Lock()
	defer j.shipping.Unlock()
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return errClosed // the records are only shipped again
	}
	seg.acked += uint64(n)
	j.entries -= int64(n)
	acked := seg.acked
	var done []*segment
	j.segments = slices.DeleteFunc(j.segments, func(s *segment) bool {
		if s == j.current || s.acked < s.entries {
			return false
		}
		j.bytes -= s.bytes
		done = append(done, s)
		return true
	})
	j.mu.Unlock()
	if !slices.Contains(done, seg) {
		if err := seg.writeAck(acked); err != nil {
			// The records would only be shipped again.
			j.log.Warn("store in the journal what was shipped", "error", err.Error())
		}
	}
	for _, s := range done {
		if err := s.remove(); err != nil {
			j.log.Warn("remove a shipped segment of the journal", "error", err.Error())
		}
	}
	return nil
}
