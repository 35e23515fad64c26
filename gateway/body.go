package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/gateway/internal/edge"
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

// bodyLimit returns the most bytes that the body may have: in a write to the vault whatever fits
// the user's quota must pass.
func (g *gateway) bodyLimit(cl *call) int {
	cfg := &g.cfg.Edge
	switch {
	case cl.route.body == fieldsBody:
		return maxFields
	case cl.route.body == objectBody:
		return maxObject
	case cfg.VaultMaxBodyMB > 0:
		return cfg.VaultMaxBodyMB << 20
	}
	bytes := int64(cfg.VaultQuotaMB) << 20
	if cl.who != nil && cl.who.state.VaultQuota > 0 {
		bytes = cl.who.state.VaultQuota
	}
	return int(min(quota.MaxBody(bytes), int64(cfg.BodyMemoryMB)<<20))
}

// readBody reads the whole body before anything is sent on, so that a slow client holds no
// connection to a service and a request can be sent again elsewhere. Large bodies wait until there
// is memory for them.
func (g *gateway) readBody(c *fiber.Ctx, cl *call) error {
	stream := c.Context().RequestBodyStream()
	if stream == nil || c.Method() == fiber.MethodGet || c.Method() == fiber.MethodHead {
		return nil // a body has no meaning there (RFC 9110, section 9.3.1)
	}
	limit, size := g.bodyLimit(cl), c.Request().Header.ContentLength()
	if size > limit {
		return apperr.PayloadTooLarge()
	}
	pool := g.bodyPool(cl)
	if size < 0 {
		return g.readChunked(c, cl, pool, stream, limit)
	}
	if err := g.hold(c, cl, pool, size); err != nil {
		return err
	}
	cl.body = make([]byte, size)
	_, err := io.ReadFull(stream, cl.body)
	cl.bodyRead = err == nil
	return brokenBody(err)
}

// chunkedGrowth is how many times as much room a body of unknown length gets when its room is full.
const chunkedGrowth = 4

// readChunked reads a body that does not say how long it is, most often much shorter than it may
// be. It reserves what the largest body of the pool needs, because of bodies that reserved more and
// more, each could wait for another.
func (g *gateway) readChunked(c *fiber.Ctx, cl *call, pool bodyPool, stream io.Reader, limit int) error {
	for room := min(pool.free, limit); ; room = min(chunkedGrowth*room, limit) {
		if err := g.hold(c, cl, pool, pool.reservation(room, limit)); err != nil {
			return err
		}
		body := bytes.NewBuffer(make([]byte, 0, room+1+bytes.MinRead)) // with room for ReadFrom to see the end
		body.Write(cl.body)
		_, err := body.ReadFrom(io.LimitReader(stream, int64(room+1-body.Len())))
		cl.body = body.Bytes()
		if err != nil || len(cl.body) <= room {
			cl.bodyRead = err == nil
			return brokenBody(err)
		}
		if room == limit {
			return apperr.PayloadTooLarge()
		}
	}
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

// reservation returns how much to hold for a body of unknown length with room for so much.
func (p *bodyPool) reservation(room, limit int) int {
	switch {
	case room <= p.free:
		return room
	case room <= p.most:
		return min(p.most, limit)
	}
	return limit
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

// brokenBody says what is wrong with a body that ended too soon.
func brokenBody(err error) error {
	var timeout net.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &timeout) && timeout.Timeout():
		return apperr.New(apperr.RequestTimeout, "REQUEST_TIMEOUT", "The request took too long to arrive")
	}
	return edge.BadRequest()
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
