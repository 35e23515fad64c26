package gateway

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/gateway/internal/memory"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/quota"
)

// The limits of bodies by class. Every body of fields fits into maxFields several times, with all
// of its characters escaped. A stored object of 64 KB may be sent in up to eight times its compact
// size (pkg/input); the other fields beside it have 128 KB.
const (
	maxFields = memory.MaxAnonymous // public routes have bodies of fields only
	maxObject = 8*64<<10 + 128<<10
)

// maxDrain is how much of an unread body fasthttp reads after the answer. With more it closes the
// connection.
const maxDrain = 256 << 10

// bodyLimit returns the most bytes that the body may have. A write to the vault may be as large as
// its user's quota needs.
func (g *gateway) bodyLimit(ex *exchange) int {
	switch ex.route.body {
	case fieldsBody:
		return maxFields
	case objectBody:
		return maxObject
	}
	cfg, userQuota := &g.cfg.Edge, int64(0)
	if ex.principal != nil {
		userQuota = ex.principal.State().VaultQuota
	}
	limit := quota.BodyLimit(quota.Effective(userQuota, int64(cfg.VaultQuotaMB)<<20), int64(cfg.VaultMaxBodyMB))
	return int(min(limit, int64(cfg.BodyMemoryMB)<<20))
}

// readBody reads the whole body before anything is sent on, so that a slow client holds no
// connection to a service and a request can be sent again elsewhere. Large bodies wait until there
// is memory for them.
func (g *gateway) readBody(c *fiber.Ctx, ex *exchange) (err error) {
	if ex.principal != nil {
		ex.bodyMemory = g.bodyMemory.ForUser(ex.principal.LimitKey())
	} else {
		ex.bodyMemory = g.bodyMemory.ForAnonymous(ex.clientAddr)
	}
	ex.body, err = httpx.ReadBody(c, g.bodyLimit(ex), func(size, most int) error {
		return ex.bodyMemory.Reserve(c.UserContext(), size, most)
	})
	ex.bodyRead = err == nil && ex.body != nil
	return err
}

// limitKey returns the key by which the reservations of the request are limited: its user, or its
// address when there is none.
func (ex *exchange) limitKey() string {
	if ex.principal != nil {
		return ex.principal.LimitKey()
	}
	return addressLimitKey(ex.clientAddr)
}

// closeUnreadBody ends the connection after the answer when more of the body is unread than is
// worth reading.
func closeUnreadBody(c *fiber.Ctx, ex *exchange) {
	if ex.bodyRead || c.Context().RequestBodyStream() == nil {
		return
	}
	if size := c.Request().Header.ContentLength(); size < 0 || size > maxDrain {
		c.Response().SetConnectionClose()
		httpx.Linger(c)
	}
}
