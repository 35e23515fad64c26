package users_test

import (
	"testing"

	"github.com/realmgate/realmgate/pkg/testkit"
)

// TestReadinessNeedsWritableDatabase: a database that only answers reads is not enough.
func TestReadinessNeedsWritableDatabase(t *testing.T) {
	t.Parallel()
	h := start(t)
	testkit.ReadyFollowsWrites(t, h.cfg.DB.URL.Reveal(), h.adminAddr)
}
