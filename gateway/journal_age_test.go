package gateway

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/bus"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/testkit"
)

// refusing is a JetStream that takes nothing, and counts what it was offered.
type refusing struct{ offered atomic.Int32 }

func (r *refusing) MaxData() int { return 0 }

func (r *refusing) Publish(string, string, string, []byte) (bus.Future, error) {
	r.offered.Add(1)
	return bus.Future{}, errors.New("away")
}

// TestEventsOfAnOldDateAreShippedForAWhileFirst: the time of day may be wrong for a moment.
func TestEventsOfAnOldDateAreShippedForAWhileFirst(t *testing.T) {
	t.Parallel()
	cfg := journalConfig(t.TempDir())
	cfg.Mode, cfg.MaxAge = modeBestEffort, 24*time.Hour
	j := open(t, cfg)
	old := newEvent()
	old.ID = id.New(time.Now().AddDate(0, 0, -400))
	_ = j.append(old)
	to := &refusing{}
	s := &shipper{journal: j, to: to, subject: testSubject, log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	for end := time.Now().Add(testkit.Patience); to.offered.Load() < 3; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the event is not tried again")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := contents(t, j); !slices.Equal(got, []string{old.ID}) {
		t.Errorf("left: %v, want the event", got)
	}
}
