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

// The limits of bodies by class. Every field of a body of fields fits into maxFields several times,
// with all its characters escaped. A stored object of 64 KB may be sent in up to eight times its
// compact size (pkg/input); the other fields beside it have 128 KB.
const (
	maxFields = 64 << 10
	maxObject = 8*64<<10 + 128<<10
)

// Bodies up to these sizes are not accounted for, because the number of connections bounds them
// well enough: freeBody of a user, freeAnonymous of anybody else, which is more than signing in
// needs.
const (
	freeBody      = 64 << 10
	freeAnonymous = 8 << 10
)

// anonymousMemory is what larger bodies of requests without a user may have together, and
// partOfAnonymous the part of it that one site may have: slow senders keep out nobody but each
// other, and their own site first.
const (
	anonymousMemory = 32 << 20
	partOfAnonymous = 16
)

// Users' bodies of up to smallBody share a part of the memory, of which one user may have what one
// such body needs. Larger bodies share the rest, and one user may send one of them at a time. So
// slow senders of large bodies keep out nobody but each other.
const (
	smallPart    = 4  // a quarter of BODY_MEMORY_MB
	usersOfSmall = 16 // so many users fill it
)

// drained is how much of an unread body fasthttp reads away after the answer; with more it closes
// the connection.
const drained = 256 << 10

// bodyLimit returns the most bytes that the body may have. A write to the vault may be as large as
// its user's quota needs.
func (g *gateway) bodyLimit(cl *call) int {
	switch cl.route.body {
	case fieldsBody:
		return maxFields
	case objectBody:
		return maxObject
	}
	cfg, userQuota := &g.cfg.Edge, int64(0)
	if cl.who != nil {
		userQuota = cl.who.state.VaultQuota
	}
	limit := quota.BodyLimit(quota.Effective(userQuota, int64(cfg.VaultQuotaMB)<<20), int64(cfg.VaultMaxBodyMB))
	return int(min(limit, int64(cfg.BodyMemoryMB)<<20))
}

// readBody reads the whole body before anything is sent on, so that a slow client holds no
// connection to a service and a request can be sent again elsewhere. Large bodies wait until there
// is memory for them.
func (g *gateway) readBody(c *fiber.Ctx, cl *call) error {
	pool := g.bodyPool(cl)
	var err error
	cl.body, err = httpx.ReadBody(c, g.bodyLimit(cl), func(size, most int) error {
		return g.hold(c, cl, pool, pool.reservation(size, most))
	})
	cl.bodyRead = err == nil && cl.body != nil
	return err
}

// bodyPool is the memory that a body is accounted to.
type bodyPool struct {
	holder       string
	free         int                // the size up to which a body is not accounted for
	small, large *fairsem.Semaphore // large is of bodies above most
	most         int
}

func (g *gateway) bodyPool(cl *call) bodyPool {
	if cl.who == nil {
		return bodyPool{holder: netaddr.Site(cl.addr), free: freeAnonymous, small: g.anonymousBodies, most: maxFields}
	}
	return bodyPool{holder: cl.who.limitKey, free: freeBody, small: g.bodies, large: g.largeBodies, most: g.smallBody}
}

// reservation returns how much to hold for size bytes of a body that may grow to most bytes. All of
// what the pool has for one body is held at once: of bodies that held more and more, each could
// wait for another.
func (p *bodyPool) reservation(size, most int) int {
	switch {
	case size <= p.free:
		return size
	case size <= p.most:
		return min(p.most, most)
	}
	return most
}

// hold waits until there is memory for a body of this size, in all and in the sender's part.
func (g *gateway) hold(c *fiber.Ctx, cl *call, pool bodyPool, size int) error {
	if size <= pool.free {
		return nil
	}
	share, from := &cl.memory, pool.small
	if size > pool.most {
		share, from = &cl.largeMemory, pool.large
	}
	if share.Size() == 0 {
		*share = from.For(pool.holder)
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), g.cfg.Edge.BodyWait)
	defer cancel()
	if err := share.Acquire(ctx, int64(size)); err != nil {
		return apperr.ServiceUnavailable(errors.New("no memory for another large body"))
	}
	return nil
}

// holder is who is held to account for what the request holds: its user, or the address where there
// is none.
func (cl *call) holder() string {
	if cl.who != nil {
		return cl.who.limitKey
	}
	return addressLimitKey(cl.addr)
}

// leaveBody prepares the end of the connection when more of the body is unread than is worth
// reading.
func leaveBody(c *fiber.Ctx, cl *call) {
	if cl.bodyRead || c.Context().RequestBodyStream() == nil {
		return
	}
	if size := c.Request().Header.ContentLength(); size < 0 || size > drained {
		c.Response().SetConnectionClose()
		httpx.Linger(c)
	}
}
