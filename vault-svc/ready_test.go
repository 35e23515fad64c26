package vault

import (
	"testing"

	"github.com/realmgate/realmgate/pkg/testkit"
)

// TestReadinessProvesThatTheDatabaseTakesWrites checks that a database that only answers reads is
// not ready.
func TestReadinessProvesThatTheDatabaseTakesWrites(t *testing.T) {
	t.Parallel()
	s := start(t)
	testkit.ReadyFollowsWrites(t, s.cfg.DB.URL.Reveal(), s.admin)
}
