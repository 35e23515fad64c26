package users

import (
	"testing"
	"time"

	"github.com/realmgate/realmgate/pkg/limit"
)

// TestAFailureThatCouldNotBeCountedIsNoSuccess: when the database does not take a failure, the guesses that wait are no freer than before.
func TestAFailureThatCouldNotBeCountedIsNoSuccess(t *testing.T) {
	t.Parallel()
	turns := newTurns(limit.Rate{Count: 10, Period: time.Minute}, 4, time.Now)
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
	closed := time.Now().Add(time.Hour)
	if _, err := turns.wait(t.Context(), standing{key: at.key, failures: 11, until: &closed}); err == nil {
		t.Error("an account that another replica has closed is open")
	}
	turns.done(two, nil)
}
