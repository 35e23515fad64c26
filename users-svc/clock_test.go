package users_test

import (
	"strings"
	"testing"
	"time"

	"github.com/realmgate/realmgate/users-svc"
)

// backdate moves the given columns of a table into the past. Rows are deleted by the clock of the
// database, which tests cannot move.
func (h *harness) backdate(table string, by time.Duration, columns ...string) {
	h.t.Helper()
	var set []string
	for _, column := range columns {
		set = append(set, column+" = "+column+" - $1::interval")
	}
	query[int](h, `WITH aged AS (UPDATE `+table+` SET `+strings.Join(set, ", ")+` RETURNING 1)
		SELECT count(*)::int FROM aged`, by)
}

const yearAhead = 400 * 24 * time.Hour

// TestCleanupIgnoresClockAhead moves the clock of the process: rows that are young by the clock of
// the database stay.
func TestCleanupIgnoresClockAhead(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) { c.CleanupEvery = 30 * time.Millisecond })
	ann := h.signUp()
	h.tryLogin("198.51.100.7", ann.email, "Wrong-horse-1").mustStatus(401)
	keys := h.jwks()
	rows := func() int {
		return query[int](h, `SELECT ((SELECT count(*) FROM sessions) + (SELECT count(*) FROM login_history)
			+ (SELECT count(*) FROM failed_logins) + (SELECT count(*) FROM login_throttle) + (SELECT count(*) FROM signing_keys))::int`)
	}
	before := rows()
	h.clock.forward(yearAhead)
	h.startReplica()
	h.awaitDoubtedSweeps()
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

// TestCleanupIgnoresDatabaseClockLeap moves both clocks, as when the clock of the machine is wrong
// for a moment: the last reading of a replica then lies far back.
func TestCleanupIgnoresDatabaseClockLeap(t *testing.T) {
	t.Parallel()
	h := start(t, func(c *users.Config) { c.CleanupEvery = 30 * time.Millisecond })
	h.signUp()
	h.backdate("clock_seen", yearAhead, "seen_at")
	h.awaitDoubtedSweeps()
	h.backdate("sessions", yearAhead, "created_at", "expires_at")
	h.awaitDoubtedSweeps()
	if n := query[int](h, `SELECT count(*)::int FROM sessions`); n != 1 {
		t.Errorf("%d sessions are left, want 1", n)
	}
	query[bool](h, `UPDATE clock_seen SET seen_at = now() RETURNING true`)
	eventually(t, "the session is deleted by a clock that is not doubted", func() bool {
		return query[int](h, `SELECT count(*)::int FROM sessions`) == 0
	})
}

// awaitDoubtedSweeps waits until the newest replica has tried to clean up several times and
// distrusted the clock.
func (h *harness) awaitDoubtedSweeps() {
	h.t.Helper()
	doubted := func() float64 { return h.counters("clock_doubted_total")[""] }
	from := doubted()
	eventually(h.t, "some sweeps find the clock doubted", func() bool { return doubted() > from+3 })
}

// TestLockoutEndsAfterClockWasAhead: a lockout that a replica with a fast clock stored does not
// last until that time.
func TestLockoutEndsAfterClockWasAhead(t *testing.T) {
	t.Parallel()
	h := start(t)
	ann := h.signUp()
	h.clock.forward(yearAhead)
	for range 10 {
		h.tryLogin("198.51.100.7", ann.email, "Wrong-horse-1").mustStatus(401)
	}
	h.tryLogin("203.0.113.9", ann.email, password).want(429, "RATE_LIMITED", "")
	h.clock.forward(-yearAhead)
	h.tryLogin("203.0.113.9", ann.email, password).want(200, "", "")
}
