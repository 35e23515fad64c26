package throttle

import (
	"errors"
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/ratelimit"
)

// TestFailureThatCouldNotBeCountedIsNoSuccess: when the database cannot store a failure, waiting
// attempts are still limited by it.
func TestFailureThatCouldNotBeCountedIsNoSuccess(t *testing.T) {
	t.Parallel()
	attempts := newInFlightAttempts(ratelimit.Rate{Count: 10, Period: time.Minute}, 4, time.Now)
	state := FailureState{Key: []byte("key"), Failures: 8}
	first, err := attempts.start(t.Context(), state)
	if err != nil {
		t.Fatal(err)
	}
	second, err := attempts.start(t.Context(), state)
	if err != nil {
		t.Fatal(err)
	}
	attempts.finish(first, &FailureState{Failures: unknownFailures})
	if second.state.Failures != 9 {
		t.Errorf("%d failures are known, want 9", second.state.Failures)
	}
	blockedUntil := time.Now().Add(time.Minute / 2) // within the longest lockout
	if _, err := attempts.start(t.Context(),
		FailureState{Key: state.Key, Failures: 11, BlockedUntil: &blockedUntil}); err == nil {
		t.Error("an account that another replica has locked out is open")
	}
	attempts.finish(second, nil)
}

// TestOnlyChangeOfSameKeyMakesStateStale: a sign-in does not read its state again because another
// account was signed in to meanwhile, but does after a failure of the same account.
func TestOnlyChangeOfSameKeyMakesStateStale(t *testing.T) {
	t.Parallel()
	attempts := newInFlightAttempts(ratelimit.Rate{Count: 10, Period: time.Minute}, 4, time.Now)
	ann, bob := FailureState{Key: AccountKey("ann")}, FailureState{Key: AccountKey("bob")}
	ann.Version = attempts.currentVersion()
	for failures := range 3 {
		bob.Version = attempts.currentVersion()
		attempt, err := attempts.start(t.Context(), bob)
		if err != nil {
			t.Fatal(err)
		}
		attempts.finish(attempt, &FailureState{Failures: failures})
	}
	attempt, err := attempts.start(t.Context(), ann)
	if err != nil {
		t.Errorf("after changes of another key: got %v, want an attempt", err)
	} else {
		attempts.finish(attempt, nil)
	}
	bob.Version--
	if _, err := attempts.start(t.Context(), bob); !errors.Is(err, errStale) {
		t.Errorf("after a change of the key: got %v, want %v", err, errStale)
	}
	bob.Version = attempts.currentVersion()
	if attempt, err = attempts.start(t.Context(), bob); err != nil {
		t.Fatalf("read again: got %v, want an attempt", err)
	}
	attempts.finish(attempt, nil)
	if len(attempts.keys) != 0 {
		t.Errorf("%d keys are kept without an attempt", len(attempts.keys))
	}
}
