package gateway

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

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

func TestEventsThatCannotBeShippedForTooLongAreDroppedOrStopTheGateway(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]float64{modeBestEffort: 2, modeRequired: 0} {
		cfg := journalConfig(t.TempDir())
		cfg.Mode, cfg.MaxAge = mode, time.Hour
		j := open(t, cfg)
		for range 2 {
			old := newEvent()
			old.ID = id.New(time.Now().Add(-2 * time.Hour))
			_ = j.append(old)
		}
		fresh := newEvent()
		_ = j.append(fresh)
		s := &shipper{journal: j, subject: testSubject, log: testkit.Log(t)}
		s.age(time.Now().Add(-90 * time.Minute)) // the time of day is ahead of how long the process has run
		if err := j.accepts(); err != nil || testutil.ToFloat64(j.metrics.dropped.WithLabelValues(dropAge)) != 0 {
			t.Errorf("%s: by a time of day that is ahead events are too old (%v)", mode, err)
		}
		s.age(time.Now())
		if got := testutil.ToFloat64(j.metrics.dropped.WithLabelValues(dropAge)); got != want {
			t.Errorf("%s: %v dropped, want %v", mode, got, want)
		}
		if err := j.accepts(); (err != nil) != (mode == modeRequired) {
			t.Errorf("%s: accepts says %v", mode, err)
		}
		if mode == modeBestEffort {
			if got := contents(t, j); !slices.Equal(got, []string{fresh.ID}) {
				t.Errorf("left: %v", got)
			}
		}
	}
}
