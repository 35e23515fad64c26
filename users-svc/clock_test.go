package users_test

import (
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/users-svc"
)

// age makes the rows of a table older in all of the columns: they are deleted by the database's
// clock, which tests cannot move.
func (h *harness) age(table string, by time.Duration, columns ...string) {
	h.t.Helper()
	var set []string
	for _, column := range columns {
		set = append(set, column+" = "+column+" - $1::interval")
	}
	query[int](h, `WITH aged AS (UPDATE `+table+` SET `+strings.Join(set, ", ")+` RETURNING 1)
		SELECT count(*)::int FROM aged`, by)
}

const yearAhead = 400 * 24 * time.Hour

// TestAClockThatIsAheadDeletesNothing: what the database's clock holds to be young stays.
func TestAClockThatIsAheadDeletesNothing(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) { c.CleanupEvery = 30 * time.Millisecond })
	ann := h.signUp()
	h.tryLogin("198.51.100.7", ann.email, "Wrong-horse-1").must(401)
	keys := h.jwks()
	rows := func() int {
		return query[int](h, `SELECT ((SELECT count(*) FROM sessions) + (SELECT count(*) FROM login_history)
			+ (SELECT count(*) FROM failed_logins) + (SELECT count(*) FROM login_throttle) + (SELECT count(*) FROM signing_keys))::int`)
	}
	before := rows()
	h.clock.forward(yearAhead)
	h.replica()
	h.sweepsInDoubt()
	if got := h.counters("clock_offset_seconds")[""]; got > -(yearAhead - time.Minute).Seconds() {
		t.Errorf("clock_offset_seconds: got %v, want the database a year behind", got)
	}
	h.clock.forward(-yearAhead)
	if got := rows(); got != before {
		t.Errorf("%d rows are left, want %d", got, before)
	}
	for kid := range keys {
		if _, there := h.jwks()[kid]; !there {
			t.Errorf("signing key %s is gone", kid)
		}
	}
}

// TestALeapOfTheDatabasesClockDeletesNothing, as when the clock of the whole machine is wrong for a
// moment: what a replica saw just now lies far back.
func TestALeapOfTheDatabasesClockDeletesNothing(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) { c.CleanupEvery = 30 * time.Millisecond })
	h.signUp()
	h.age("clock_seen", yearAhead, "seen_at")
	h.sweepsInDoubt()
	h.age("sessions", yearAhead, "created_at", "expires_at")
	h.sweepsInDoubt()
	if n := query[int](h, `SELECT count(*)::int FROM sessions`); n != 1 {
		t.Errorf("%d sessions are left, want 1", n)
	}
	query[bool](h, `UPDATE clock_seen SET seen_at = now() RETURNING true`)
	eventually(t, "the session is deleted by a clock that is not doubted", func() bool {
		return query[int](h, `SELECT count(*)::int FROM sessions`) == 0
	})
}

// sweepsInDoubt waits until the newest replica has looked several times for what is old, and
// doubted the clock.
func (h *harness) sweepsInDoubt() {
	h.t.Helper()
	doubted := func() float64 { return h.counters("clock_doubted_total")[""] }
	from := doubted()
	eventually(h.t, "some sweeps find the clock doubted", func() bool { return doubted() > from+3 })
}

// TestAClockThatWasAheadLocksNobodyOut: waits that it wrote into the database do not last until
// then.
func TestAClockThatWasAheadLocksNobodyOut(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	h.clock.forward(yearAhead)
	for range 10 {
		h.tryLogin("198.51.100.7", ann.email, "Wrong-horse-1").must(401)
	}
	h.tryLogin("203.0.113.9", ann.email, password).want(429, "RATE_LIMITED", "")
	h.clock.forward(-yearAhead)
	h.tryLogin("203.0.113.9", ann.email, password).want(200, "", "")
}
