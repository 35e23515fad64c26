package gateway

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/httpx"
)

// healthAge is how long a result of /healthz is reused, so that frequent probes cost nothing.
const healthAge = time.Second

// health answers /healthz, for load balancers that cannot reach the admin port. It says only
// whether this gateway can serve, not why.
type health struct {
	check    func(context.Context) (int, map[string]string) // the service's
	now      func() time.Time
	last     atomic.Pointer[healthResult]
	checking atomic.Bool
}

type healthResult struct {
	at time.Time
	ok bool
}

// ok returns the result of the last check, after a new one when that is old. Other requests do not
// wait for a check under way.
func (h *health) ok(ctx context.Context) bool {
	last := h.last.Load()
	if last != nil && h.now().Sub(last.at) < healthAge {
		return last.ok
	}
	if !h.checking.CompareAndSwap(false, true) {
		return last != nil && last.ok
	}
	defer h.checking.Store(false)
	status, _ := h.check(ctx)
	result := &healthResult{h.now(), status == http.StatusOK}
	h.last.Store(result)
	return result.ok
}

func (g *gateway) healthz(c *fiber.Ctx, _ *exchange) error {
	c.Set(fiber.HeaderCacheControl, "no-store")
	if !g.health.ok(c.UserContext()) {
		return apperr.ServiceUnavailable(errors.New("not ready: the admin port's /readyz says why"))
	}
	return httpx.OK(c, "The gateway can serve", nil)
}
