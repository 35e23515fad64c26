package activity

import (
	"testing"

	"github.com/realmgate/realmgate/pkg/testkit"
)

// TestReadinessProvesThatTheDatabaseTakesWrites, not only that it answers.
func TestReadinessProvesThatTheDatabaseTakesWrites(t *testing.T) {
	t.Parallel()
	h, r := start(t)
	testkit.ReadyFollowsWrites(t, h.cfg.DB.URL.Reveal(), r.svc.AdminAddr())
}
