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

// healthAge is how long a finding of /healthz is good for, so that asking costs nothing however
// many do.
const healthAge = time.Second

// health answers /healthz, for load balancers that cannot reach the admin port: whether this
// gateway can serve, and nothing about why not.
type health struct {
	check    func(context.Context) (int, map[string]string) // the service's
	now      func() time.Time
	last     atomic.Pointer[healthFinding]
	checking atomic.Bool
}

type healthFinding struct {
	at time.Time
	ok bool
}

// fine returns what the last check found, and makes one when that is old. While one is made nobody
// else waits for it.
func (h *health) fine(ctx context.Context) bool {
	last := h.last.Load()
	if last != nil && h.now().Sub(last.at) < healthAge {
		return last.ok
	}
	if !h.checking.CompareAndSwap(false, true) {
		return last != nil && last.ok
	}
	defer h.checking.Store(false)
	status, _ := h.check(ctx)
	found := &healthFinding{h.now(), status == http.StatusOK}
	h.last.Store(found)
	return found.ok
}

func (g *gateway) healthz(c *fiber.Ctx, _ *exchange) error {
	c.Set(fiber.HeaderCacheControl, "no-store")
	if !g.health.fine(c.UserContext()) {
		return apperr.ServiceUnavailable(errors.New("not ready: the admin port's /readyz says why"))
	}
	return httpx.OK(c, "The gateway can serve", nil)
}
