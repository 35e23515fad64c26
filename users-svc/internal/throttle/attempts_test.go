package throttle

import (
	"errors"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/ratelimit"
)

// TestAFailureThatCouldNotBeCountedIsNoSuccess: when the database does not take a failure, the
// guesses that wait are no freer than before.
func TestAFailureThatCouldNotBeCountedIsNoSuccess(t *testing.T) {
	t.Parallel()
	turns := newInFlightAttempts(ratelimit.Rate{Count: 10, Period: time.Minute}, 4, time.Now)
	at := FailureState{Key: []byte("key"), Failures: 8}
	one, err := turns.start(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	two, err := turns.start(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	turns.finish(one, &FailureState{Failures: unknownFailures})
	if two.at.Failures != 9 {
		t.Errorf("%d failures are known, want 9", two.at.Failures)
	}
	closed := time.Now().Add(time.Minute / 2) // no longer than a wait can be
	if _, err := turns.start(t.Context(), FailureState{Key: at.Key, Failures: 11, BlockedUntil: &closed}); err == nil {
		t.Error("an account that another replica has closed is open")
	}
	turns.finish(two, nil)
}

// TestOnlyAChangeOfItsOwnKeyMakesAStandingOld: a login does not read again because somebody else
// signed in meanwhile, but does when a guess at the same account was counted meanwhile, of which
// nobody is left to tell.
func TestOnlyAChangeOfItsOwnKeyMakesAStandingOld(t *testing.T) {
	t.Parallel()
	turns := newInFlightAttempts(ratelimit.Rate{Count: 10, Period: time.Minute}, 4, time.Now)
	ann, bob := FailureState{Key: AccountKey("ann")}, FailureState{Key: AccountKey("bob")}
	ann.Version = turns.Version()
	for failures := range 3 {
		bob.Version = turns.Version()
		turn, err := turns.start(t.Context(), bob)
		if err != nil {
			t.Fatal(err)
		}
		turns.finish(turn, &FailureState{Failures: failures})
	}
	turn, err := turns.start(t.Context(), ann)
	if err != nil {
		t.Errorf("after changes of another key: got %v, want a turn", err)
	} else {
		turns.finish(turn, nil)
	}
	bob.Version--
	if _, err := turns.start(t.Context(), bob); !errors.Is(err, errStale) {
		t.Errorf("after a change of the key: got %v, want %v", err, errStale)
	}
	bob.Version = turns.Version()
	if turn, err = turns.start(t.Context(), bob); err != nil {
		t.Fatalf("read again: got %v, want a turn", err)
	}
	turns.finish(turn, nil)
	if len(turns.keys) != 0 {
		t.Errorf("%d keys are kept that nobody holds", len(turns.keys))
	}
}
