package users_test

import (
	"testing"

	"github.com/realmgate/realmgate/users-svc"
)

// TestForeignAdvisoryLocksDoNotBlock: any role of the database may take advisory locks, so the
// service waits for none.
func TestForeignAdvisoryLocksDoNotBlock(t *testing.T) {
	t.Parallel()
	h := start(t, withAdmin, func(c *users.Config) { c.DB.Timeout = 5e9 })
	intruder := h.database()
	for _, name := range []string{"users_svc signing keys", "users_svc first admin", "users_svc cleanup",
		"create schema users_svc"} {
		if _, err := intruder.Exec(t.Context(), `SELECT pg_advisory_lock(hashtext($1))`, name); err != nil {
			t.Fatal(err)
		}
	}
	// the migrations of earlier releases
	if _, err := intruder.Exec(t.Context(), `SELECT pg_advisory_lock(5887940537704921958)`); err != nil {
		t.Fatal(err)
	}
	if _, err := intruder.Exec(t.Context(), `UPDATE users SET is_admin = false`); err != nil {
		t.Fatal(err)
	}
	h.baseURL = h.startReplica()
	if !h.admin().identity.Admin {
		t.Error("the first admin was not made")
	}
	if _, err := h.command("keys rotate", "-now"); err != nil {
		t.Error(err)
	}
}
