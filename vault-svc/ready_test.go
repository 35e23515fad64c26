package vault

import (
	"testing"

	"github.com/realmgate/realmgate/pkg/testkit"
)

// TestReadinessProvesThatTheDatabaseTakesWrites, not only that it answers.
func TestReadinessProvesThatTheDatabaseTakesWrites(t *testing.T) {
	t.Parallel()
	s := start(t)
	testkit.ReadyFollowsWrites(t, s.cfg.DB.URL.Reveal(), s.admin)
}
