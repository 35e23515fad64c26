package users

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
	turns := newTurns(ratelimit.Rate{Count: 10, Period: time.Minute}, 4, time.Now)
	at := standing{key: []byte("key"), failures: 8}
	one, err := turns.wait(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	two, err := turns.wait(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	turns.done(one, &standing{failures: uncounted})
	if two.at.failures != 9 {
		t.Errorf("%d failures are known, want 9", two.at.failures)
	}
	closed := time.Now().Add(time.Minute / 2) // no longer than a wait can be
	if _, err := turns.wait(t.Context(), standing{key: at.key, failures: 11, until: &closed}); err == nil {
		t.Error("an account that another replica has closed is open")
	}
	turns.done(two, nil)
}

// TestOnlyAChangeOfItsOwnKeyMakesAStandingOld: a login does not read again because somebody else
// signed in meanwhile, but does when a guess at the same account was counted meanwhile, of which
// nobody is left to tell.
func TestOnlyAChangeOfItsOwnKeyMakesAStandingOld(t *testing.T) {
	t.Parallel()
	turns := newTurns(ratelimit.Rate{Count: 10, Period: time.Minute}, 4, time.Now)
	ann, bob := standing{key: accountKey("ann")}, standing{key: accountKey("bob")}
	ann.moment = turns.moment()
	for failures := range 3 {
		bob.moment = turns.moment()
		turn, err := turns.wait(t.Context(), bob)
		if err != nil {
			t.Fatal(err)
		}
		turns.done(turn, &standing{failures: failures})
	}
	turn, err := turns.wait(t.Context(), ann)
	if err != nil {
		t.Errorf("after changes of another key: got %v, want a turn", err)
	} else {
		turns.done(turn, nil)
	}
	bob.moment--
	if _, err := turns.wait(t.Context(), bob); !errors.Is(err, errOld) {
		t.Errorf("after a change of the key: got %v, want %v", err, errOld)
	}
	bob.moment = turns.moment()
	if turn, err = turns.wait(t.Context(), bob); err != nil {
		t.Fatalf("read again: got %v, want a turn", err)
	}
	turns.done(turn, nil)
	if len(turns.keys) != 0 {
		t.Errorf("%d keys are kept that nobody holds", len(turns.keys))
	}
}
