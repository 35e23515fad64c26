package gateway

import (
	"context"
	"errors"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/fairsem"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/netaddr"
	"github.com/realmgate/realmgate/pkg/quota"
)

// The limits of bodies by class. Every body of fields fits into maxFields several times, with all
// of its characters escaped. A stored object of 64 KB may be sent in up to eight times its compact
// size (pkg/input); the other fields beside it have 128 KB.
const (
	maxFields = 64 << 10
	maxObject = 8*64<<10 + 128<<10
)

// Bodies up to these sizes are not accounted for, because the limit of connections bounds them:
// unaccountedBody with a user, unaccountedAnonymous, which is more than signing in needs, without.
const (
	unaccountedBody      = 64 << 10
	unaccountedAnonymous = 8 << 10
)

// Larger bodies of requests without a user may have anonymousMemory together, and those of one site
// the part of it that anonymousShare divides. So slow senders block only each other, and their own
// site first.
const (
	anonymousMemory = 32 << 20
	anonymousShare  = 16
)

// Users' bodies of up to smallBody share a quarter of BODY_MEMORY_MB, of which one user may have
// what one such body needs. Larger bodies share the rest, and one user may send one of them at a
// time. So slow senders of large bodies block only each other.
const (
	smallBodiesShare = 4  // the divisor of BODY_MEMORY_MB
	smallBodyUsers   = 16 // as many users fill that part
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
func (g *gateway) readBody(c *fiber.Ctx, ex *exchange) error {
	pool := g.bodyPool(ex)
	var err error
	ex.body, err = httpx.ReadBody(c, g.bodyLimit(ex), func(size, most int) error {
		return g.reserveBody(c, ex, pool, pool.reservation(size, most))
	})
	ex.bodyRead = err == nil && ex.body != nil
	return err
}

// bodyPool is the memory that a body is accounted to.
type bodyPool struct {
	holder       string
	unaccounted  int                // the largest size that is not accounted for
	small, large *fairsem.Semaphore // large is for bodies above maxSmall
	maxSmall     int
}

func (g *gateway) bodyPool(ex *exchange) bodyPool {
	if ex.principal == nil {
		return bodyPool{holder: netaddr.Site(ex.clientAddr), unaccounted: unaccountedAnonymous, small: g.anonymousBodies,
			maxSmall: maxFields}
	}
	return bodyPool{holder: ex.principal.LimitKey(), unaccounted: unaccountedBody, small: g.bodies, large: g.largeBodies,
		maxSmall: g.smallBody}
}

// reservation returns the bytes to reserve for size bytes of a body that may grow to most bytes.
// Bodies that reserved more and more could wait for each other, so a body reserves the whole part
// of its pool at once.
func (p *bodyPool) reservation(size, most int) int {
	switch {
	case size <= p.unaccounted:
		return size
	case size <= p.maxSmall:
		return min(p.maxSmall, most)
	}
	return most
}

// reserveBody waits until there is memory for a body of this size, in total and for its sender.
func (g *gateway) reserveBody(c *fiber.Ctx, ex *exchange, pool bodyPool, size int) error {
	if size <= pool.unaccounted {
		return nil
	}
	lease, semaphore := &ex.bodyLease, pool.small
	if size > pool.maxSmall {
		lease, semaphore = &ex.largeBodyLease, pool.large
	}
	if lease.Size() == 0 {
		*lease = semaphore.For(pool.holder)
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), g.cfg.Edge.BodyWait)
	defer cancel()
	if err := lease.Acquire(ctx, int64(size)); err != nil {
		return apperr.ServiceUnavailable(errors.New("no memory for another large body"))
	}
	return nil
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
