package journal

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
	cfg := testConfig(t.TempDir())
	cfg.Mode, cfg.MaxAge = ModeBestEffort, 24*time.Hour
	j := open(t, cfg)
	old := newEvent()
	old.ID = id.New(time.Now().AddDate(0, 0, -400))
	_ = j.Append(old)
	to := &refusing{}
	s := &Shipper{journal: j, to: to, subject: subject, log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
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
	for mode, want := range map[string]float64{ModeBestEffort: 2, ModeRequired: 0} {
		cfg := testConfig(t.TempDir())
		cfg.Mode, cfg.MaxAge = mode, time.Hour
		j := open(t, cfg)
		for range 2 {
			old := newEvent()
			old.ID = id.New(time.Now().Add(-2 * time.Hour))
			_ = j.Append(old)
		}
		fresh := newEvent()
		_ = j.Append(fresh)
		s := &Shipper{journal: j, subject: subject, log: testkit.Log(t)}
		s.enforceMaxAge(time.Now().Add(-90 * time.Minute)) // the time of day is ahead of how long the process has run
		if err := j.Accepts(); err != nil || testutil.ToFloat64(j.metrics.dropped.WithLabelValues(dropAge)) != 0 {
			t.Errorf("%s: by a time of day that is ahead events are too old (%v)", mode, err)
		}
		s.enforceMaxAge(time.Now())
		if got := testutil.ToFloat64(j.metrics.dropped.WithLabelValues(dropAge)); got != want {
			t.Errorf("%s: %v dropped, want %v", mode, got, want)
		}
		if err := j.Accepts(); (err != nil) != (mode == ModeRequired) {
			t.Errorf("%s: accepts says %v", mode, err)
		}
		if mode == ModeBestEffort {
			if got := contents(t, j); !slices.Equal(got, []string{fresh.ID}) {
				t.Errorf("left: %v", got)
			}
		}
	}
}
