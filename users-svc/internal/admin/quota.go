package admin

import (
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/pkg/quota"
	"github.com/realmgate/realmgate/users-svc/internal/field"
)

// quotaAnswer is the limit of a user's vault, in mebibytes over all realms. Nil stands for the
// default of vault-svc.
type quotaAnswer struct {
	LimitMB *int64 `json:"limit_mb"`
}

// readQuota reads limit_mb. It returns the limit as sent, and in bytes as the database stores it: 0
// for the default of vault-svc, quota.NothingStored for a limit of 0.
func readQuota(body *input.Object) (quotaAnswer, int64, error) {
	field.Require(body, "limit_mb")
	if body.IsNull("limit_mb") {
		return quotaAnswer{}, 0, body.Err()
	}
	mb, ok := body.Int("limit_mb", 0, maxQuotaMB)
	if !ok {
		return quotaAnswer{}, 0, body.Err()
	}
	return quotaAnswer{LimitMB: &mb}, max(quota.NothingStored, mb*mebibyte), nil
}
