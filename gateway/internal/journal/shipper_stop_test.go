package journal

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// slow is a JetStream that stores every message and says so only when it is let.
type slow struct {
	mu     sync.Mutex
	stored []string // ids of events
	answer chan *jetstream.PubAck
	first  chan struct{} // closed with the first message
	once   sync.Once
}

func (s *slow) MaxData() int { return 0 }

func (s *slow) Publish(_, _, _ string, data []byte) (bus.Future, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := range event.Split(data) {
		r, _ := event.Decode(e)
		s.stored = append(s.stored, r.ID)
	}
	s.once.Do(func() { close(s.first) })
	return bus.Future{OK: s.answer, Err: make(chan error)}, nil
}

// TestAStopWaitsForTheBatchUnderWay: its events must not be sent once more with those that came
// since, in a message that JetStream does not know.
func TestAStopWaitsForTheBatchUnderWay(t *testing.T) {
	t.Parallel()
	j := open(t, testConfig(t.TempDir()))
	to := &slow{answer: make(chan *jetstream.PubAck), first: make(chan struct{})}
	s := &Shipper{journal: j, to: to, subject: subject, log: testkit.Log(t)}
	_ = j.Append(newEvent())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	<-to.first
	_ = j.Append(newEvent())
	cancel()
	time.Sleep(50 * time.Millisecond) // the stop is noticed before the answer comes
	close(to.answer)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if len(to.stored) != 2 || to.stored[0] == to.stored[1] {
		t.Errorf("stored: %v, want each of two events once", to.stored)
	}
}

// TestAJournalThatIsClosedUnderItsShipperLosesNothing: what a stop does when the shipper has used
// up its time.
func TestAJournalThatIsClosedUnderItsShipperLosesNothing(t *testing.T) {
	t.Parallel()
	for range 10 {
		cfg := testConfig(t.TempDir())
		cfg.MaxBytes = MinBytes // segments of 128 KB
		j := open(t, cfg)
		want := map[string]bool{}
		for range 2000 {
			e := newEvent()
			if err := j.Append(e); err != nil {
				t.Fatal(err)
			}
			want[e.ID] = true
		}
		begun, done := make(chan struct{}), make(chan error, 1)
		go func() {
			for {
				seg, records, err := j.next(10)
				if err == nil && len(records) > 0 {
					err = j.ack(seg, len(records))
				}
				if err != nil || len(records) == 0 {
					done <- err
					return
				}
				for _, r := range records {
					eventID, _, _ := decodeRecord(r)
					delete(want, eventID)
				}
				if len(want) == 1900 {
					close(begun)
				}
			}
		}()
		<-begun
		if err := j.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil && !errors.Is(err, errClosed) { // nil: it was quicker
			t.Error(err)
		}
		if _, _, err := j.next(10); !errors.Is(err, errClosed) {
			t.Errorf("the closed journal is read: %v", err)
		}
		for _, eventID := range contents(t, open(t, cfg)) {
			delete(want, eventID)
		}
		if len(want) > 0 {
			t.Fatalf("%d events are neither shipped nor in the journal", len(want))
		}
	}
}

func TestAGatewayThatWasStuckTakesRequestsAgainOnceItShips(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t.TempDir())
	cfg.Mode, cfg.MaxAge = ModeRequired, time.Hour
	j := open(t, cfg)
	old := newEvent()
	old.ID = id.New(time.Now().Add(-2 * time.Hour))
	_ = j.Append(old)
	answered := make(chan *jetstream.PubAck)
	s := &Shipper{journal: j, to: &slow{answer: answered, first: make(chan struct{})}, subject: subject,
		log: testkit.Log(t)}
	s.enforceMaxAge(time.Now()) // as after a failure
	if err := j.Accepts(); !errors.Is(err, errOverAge) {
		t.Fatalf("with an event that is too old: %v", err)
	}
	close(answered)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for end := time.Now().Add(testkit.Patience); j.Accepts() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("everything is shipped, and still: %v", j.Accepts())
			break
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
