// Package journal provides the gateway's write-ahead log of request events, and ships the events to
// JetStream. [Journal.Append] runs within every recorded request, [Shipper.Run] in the background;
// start reading at [Open].
package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/monotonic"
)

// Journal is the gateway's write-ahead log of events: an appended event survives the end of the
// process and is shipped to JetStream.
//
// It is a list of segments, each a small log in its own folder. Only the last segment is written
// to. The shipper reads from the first, stores in it how far JetStream has acknowledged, and
// removes it when all records are acknowledged. Concurrent appends share one write (group commit):
// the first append leads the write for all appends that arrived, and appends during that write form
// the next batch.
type Journal struct {
	cfg     Config
	log     *slog.Logger
	lock    *flock.Flock
	metrics *metrics
	wake    chan struct{} // tells the shipper that there are events

	shipping sync.Mutex // guards reading segments and writing acknowledgements; taken before mu

	mu        sync.Mutex
	segments  []*segment // oldest first; the last one takes appends when it is current
	current   *segment   // nil: the next append begins a segment
	nextSeq   uint64
	openBatch *batch // takes appends until its write begins
	writing   bool
	idle      *sync.Cond // writing has become false
	closed    bool
	bytes     int64 // of all segments
	entries   int64 // not yet acknowledged

	diskPause monotonic.Pause // after a failure of the disk
	overAge   atomic.Bool     // the oldest event is older than MaxAge
	oldest    atomic.Int64    // time of the next event to ship, in Unix milliseconds; 0 without one
}

// batch is a list of records that one write takes.
type batch struct {
	records [][]byte
	size    int64
	written bool // err is known
	err     error
	done    chan struct{} // closed when err is known; nil while no append waits for it
	lead    chan struct{} // its receiver becomes the leader
	first   [8][]byte     // room for the records of most batches
}

func newBatch() *batch {
	b := &batch{}
	b.records = b.first[:0]
	return b
}

const (
	MinBytes        = 1 << 20
	maxSegmentBytes = 2 << 20
	diskPause       = 250 * time.Millisecond
)

// The reasons for which an event cannot be written.
var (
	errFull    = errors.New("the journal of events is full")
	errOverAge = errors.New("the journal holds events that could not be shipped for too long")
	errDisk    = errors.New("the journal's disk fails")
	errClosed  = errors.New("the journal is closed")
)

type metrics struct {
	accepted, shipped prometheus.Counter
	dropped           *prometheus.CounterVec
}

// Open opens the folder, which belongs to one process at a time, repairs records that a crash left
// half written, and finds the events that are not shipped yet. Its error names JOURNAL_DIR.
func Open(cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Journal, error) {
	if err := os.MkdirAll(cfg.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("JOURNAL_DIR: %w", err)
	}
	lock := flock.New(filepath.Join(cfg.Dir, "lock"))
	switch locked, err := lock.TryLock(); {
	case err != nil:
		return nil, fmt.Errorf("JOURNAL_DIR: %w", err)
	case !locked:
		return nil, fmt.Errorf("JOURNAL_DIR: %s belongs to another gateway that is running", cfg.Dir)
	}
	j := &Journal{cfg: cfg, log: log, lock: lock, wake: make(chan struct{}, 1), openBatch: newBatch()}
	j.idle = sync.NewCond(&j.mu)
	var err error
	if j.segments, err = openSegments(cfg.Dir, log); err != nil {
		_ = lock.Unlock()
		return nil, fmt.Errorf("JOURNAL_DIR: %w", err)
	}
	for _, s := range j.segments {
		j.bytes += s.bytes
		j.entries += int64(s.entries - s.acked)
		j.nextSeq = s.seq
	}
	j.nextSeq++
	j.register(reg)
	if j.entries > 0 {
		log.Info("events left in the journal will be shipped", "events", j.entries)
		j.signal()
	}
	return j, nil
}

func (j *Journal) register(reg prometheus.Registerer) {
	j.metrics = &metrics{
		accepted: prometheus.NewCounter(prometheus.CounterOpts{Name: "events_accepted_total",
			Help: "Events written to the journal."}),
		shipped: prometheus.NewCounter(prometheus.CounterOpts{Name: "events_shipped_total",
			Help: "Events that JetStream acknowledged."}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "events_dropped_total",
			Help: "Events that were lost, by reason."}, []string{"reason"}),
	}
	reg.MustRegister(j.metrics.accepted, j.metrics.shipped, j.metrics.dropped,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "journal_entries",
			Help: "Events that JetStream has not acknowledged."}, func() float64 {
			entries, _ := j.size()
			return float64(entries)
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "journal_bytes", Help: "Size of the journal on disk."},
			func() float64 {
				_, bytes := j.size()
				return float64(bytes)
			}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "journal_oldest_seconds",
			Help: "Age of the oldest event that JetStream has not acknowledged, 0 without one; compare JOURNAL_MAX_AGE.",
		}, j.oldestAge))
	for _, reason := range []string{dropFull, dropDisk, dropAge, dropCorrupt, dropInvalid, dropLarge} {
		j.metrics.dropped.WithLabelValues(reason)
	}
}

// The values of the label reason: why an event was lost.
const (
	dropFull    = "full"
	dropDisk    = "disk"
	dropAge     = "age"
	dropCorrupt = "corrupt"
	dropInvalid = "invalid"
	dropLarge   = "large"
)

func (j *Journal) size() (entries, bytes int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.entries, j.bytes
}

// oldestAge returns the age of the oldest event without an acknowledgement, in seconds; 0 without
// one.
func (j *Journal) oldestAge() float64 {
	oldest := j.oldest.Load()
	if oldest == 0 {
		return 0
	}
	return max(0, time.Since(time.UnixMilli(oldest)).Seconds())
}

// Accepts returns the error that an append would most likely return now.
func (j *Journal) Accepts() error {
	if !j.diskPause.Over() {
		return errDisk
	}
	if j.overAge.Load() {
		return errOverAge
	}
	if _, bytes := j.size(); bytes+maxRecord > j.cfg.MaxBytes {
		return errFull
	}
	return nil
}

// Append writes the events, in one write; it counts them as accepted or dropped.
func (j *Journal) Append(events ...event.Request) error {
	records, n := make([][]byte, 0, len(events)), float64(len(events))
	for _, e := range events {
		record, err := encodeRecord(e)
		if err != nil {
			j.metrics.dropped.WithLabelValues(dropInvalid).Add(n)
			return err
		}
		records = append(records, record)
	}
	err := j.commit(records)
	switch {
	case err == nil:
		j.metrics.accepted.Add(n)
	case errors.Is(err, errFull), errors.Is(err, errOverAge):
		j.metrics.dropped.WithLabelValues(dropFull).Add(n)
	default:
		j.metrics.dropped.WithLabelValues(dropDisk).Add(n)
	}
	return err
}

// commit writes records together with those of concurrent appends.
func (j *Journal) commit(records [][]byte) error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return errClosed
	}
	b := j.openBatch
	b.records = append(b.records, records...)
	for _, record := range records {
		b.size += int64(len(record)) + 3 // and its length
	}
	if !j.writing {
		// A write costs as much for one record as for many. Under load other appends are about to
		// arrive; without load this returns at once.
		j.mu.Unlock()
		runtime.Gosched()
		j.mu.Lock()
	}
	if taken := j.openBatch != b; b.written || (taken || j.writing) && !b.waitOrLead(&j.mu) {
		j.mu.Unlock()
		return b.err
	}
	j.writing = true
	j.openBatch = newBatch()
	closed, full := j.closed, j.bytes+b.size > j.cfg.MaxBytes
	j.mu.Unlock()

	var err error
	switch {
	case closed:
		err = errClosed
	case full:
		err = errFull
	default:
		err = j.write(b)
	}
	j.mu.Lock()
	b.written, b.err = true, err
	if b.done != nil {
		close(b.done)
	}
	if next := j.openBatch; next.lead != nil {
		next.lead <- struct{}{}
	} else {
		j.writing = false
		j.idle.Broadcast()
	}
	j.mu.Unlock()
	return err
}

// waitOrLead waits, without mu, until b is written or the caller becomes its leader, and reports
// whether it did.
func (b *batch) waitOrLead(mu *sync.Mutex) bool {
	if b.done == nil {
		b.done, b.lead = make(chan struct{}), make(chan struct{}, 1)
	}
	done, lead := b.done, b.lead
	mu.Unlock()
	defer mu.Lock()
	select {
	case <-done:
		return false
	case <-lead:
		return true
	}
}

// write is called by one leader at a time.
func (j *Journal) write(b *batch) error {
	if !j.diskPause.Over() {
		return errDisk
	}
	s, err := j.writable()
	var written int64
	if err == nil {
		written, err = s.write(b.records)
	}
	if err != nil {
		j.diskPause.Begin(diskPause)
		j.log.Error("the journal of events cannot be written", "error", err.Error())
		j.seal()
		return errDisk
	}
	j.mu.Lock()
	s.entries += uint64(len(b.records))
	s.bytes += written
	j.bytes += written
	j.entries += int64(len(b.records))
	j.mu.Unlock()
	j.signal()
	return nil
}

// seal ends the current segment after a failure. Its records are still shipped; the next append
// begins a new segment.
func (j *Journal) seal() {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.current
	j.current = nil
	if s != nil && s.entries == 0 {
		j.segments = slices.DeleteFunc(j.segments, func(other *segment) bool { return other == s })
		_ = s.remove() // the disk fails: an empty folder left behind is found at the next start
	}
}

// writable returns the segment to append to, a new one when there is none or the last is large
// enough.
func (j *Journal) writable() (*segment, error) {
	j.mu.Lock()
	s, seq := j.current, j.nextSeq
	j.mu.Unlock()
	if s != nil && s.bytes < min(maxSegmentBytes, j.cfg.MaxBytes/8) { // only the leader changes bytes
		return s, nil
	}
	s, err := createSegment(j.cfg.Dir, seq, j.cfg.Sync)
	if err != nil {
		return nil, err
	}
	j.mu.Lock()
	j.current = s
	j.nextSeq++
	j.segments = append(j.segments, s)
	j.mu.Unlock()
	return s, nil
}

func (j *Journal) signal() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// Close closes the journal. A write in progress is completed; later calls of Append and of the
// shipper, which may still run when the time for a stop is over, fail.
func (j *Journal) Close() error {
	j.shipping.Lock()
	defer j.shipping.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil
	}
	j.closed = true
	for j.writing {
		j.idle.Wait()
	}
	var all []error
	for _, s := range j.segments {
		all = append(all, s.close())
	}
	return errors.Join(append(all, j.lock.Unlock())...)
}
