package event_test

import (
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/event"
)

// The previous release drops events from before its retention, and moves events that it cannot
// decode to the dead letters.
func TestAProbeIsTooOldForEveryRelease(t *testing.T) {
	t.Parallel()
	e, err := event.Decode(event.Probe())
	if err != nil {
		t.Fatalf("it would become a dead letter: %v", err)
	}
	if want := time.Unix(0, 0); !e.At().Equal(want) {
		t.Errorf("its time is %v, want %v", e.At(), want)
	}
	if n := event.Count(event.Probe()); n != 1 {
		t.Errorf("it counts as %d events, want 1", n)
	}
	e.ID = e.UserID[:23] + "1"
	other, _ := e.Encode()
	if !event.IsProbe(event.Probe()) || event.IsProbe(other) {
		t.Error("a probe is not told from another event")
	}
}
