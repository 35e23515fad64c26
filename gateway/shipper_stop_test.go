package gateway

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/event"
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

// TestAStopWaitsForTheBatchUnderWay: its events must not be sent once more with those that came since, in a message that JetStream does not know.
func TestAStopWaitsForTheBatchUnderWay(t *testing.T) {
	t.Parallel()
	j := open(t, journalConfig(t.TempDir()))
	to := &slow{answer: make(chan *jetstream.PubAck), first: make(chan struct{})}
	s := &shipper{journal: j, to: to, log: testkit.Log(t)}
	_ = j.append(newEvent())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	<-to.first
	_ = j.append(newEvent())
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
