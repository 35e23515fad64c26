package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/httpx"
)

// smallBody is how large a body may be where the route says nothing else.
const smallBody = httpx.DefaultBodyLimit

// freeBody is how large a body may be without a share of the memory for bodies: the number of connections bounds those well enough.
const freeBody = 64 << 10

// drained is how much of an unread body fasthttp reads away after the answer; with more it closes the connection.
const drained = 256 << 10

// leastVaultBodyMB is what a vault write may always have, whatever the quota is: values from before it was lowered may still shrink.
const leastVaultBodyMB = 110

// bodyLimit returns the most bytes that the request may have: on routes with large bodies whatever fits the user's quota must pass.
func (g *gateway) bodyLimit(cl *call) int {
	edge := &g.cfg.Edge
	switch {
	case cl.route.traits&largeBody == 0:
		return smallBody
	case edge.VaultMaxBodyMB > 0:
		return edge.VaultMaxBodyMB << 20
	}
	quota := int64(edge.VaultQuotaMB) << 20
	if cl.who != nil && cl.who.state.VaultQuota > 0 {
		quota = cl.who.state.VaultQuota
	}
	return int(min(max(2*quota+10<<20, leastVaultBodyMB<<20), int64(edge.BodyMemoryMB)<<20))
}

// readBody reads the whole body before anything is sent on, so that a slow client holds no connection to a service and a request can be sent
// again elsewhere. Large bodies wait until there is memory for them.
func (g *gateway) readBody(c *fiber.Ctx, cl *call) error {
	stream := c.Context().RequestBodyStream()
	if stream == nil || c.Method() == fiber.MethodGet || c.Method() == fiber.MethodHead {
		return nil // a body has no meaning there (RFC 9110, section 9.3.1)
	}
	limit, size := g.bodyLimit(cl), c.Request().Header.ContentLength()
	if size > limit {
		return apperr.PayloadTooLarge()
	}
	if size >= 0 {
		if err := g.hold(c, cl, size); err != nil {
			return err
		}
		cl.body = make([]byte, size)
		_, err := io.ReadFull(stream, cl.body)
		cl.bodyRead = err == nil
		return brokenBody(err)
	}
	return g.readChunked(c, cl, stream, limit)
}

// readChunked reads a body that does not say how long it is: what needs no share first, the rest after room was made for the largest one.
func (g *gateway) readChunked(c *fiber.Ctx, cl *call, stream io.Reader, limit int) error {
	var err error
	cl.body, err = io.ReadAll(io.LimitReader(stream, freeBody+1))
	if err == nil && len(cl.body) > freeBody {
		if err := g.hold(c, cl, limit); err != nil {
			return err
		}
		whole := bytes.NewBuffer(make([]byte, 0, limit+bytes.MinRead)) // it never grows, and what is not used of it is never touched
		whole.Write(cl.body)
		_, err = whole.ReadFrom(io.LimitReader(stream, int64(limit-whole.Len()+1)))
		cl.body = whole.Bytes()
	}
	if err == nil && len(cl.body) > limit {
		return apperr.PayloadTooLarge()
	}
	cl.bodyRead = err == nil
	return brokenBody(err)
}

// hold waits until there is memory for a body of this size, in all and in the sender's part.
func (g *gateway) hold(c *fiber.Ctx, cl *call, size int) error {
	if size <= freeBody {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), g.cfg.Edge.BodyWait)
	defer cancel()
	share := g.bodies.Of(cl.holder())
	if err := share.Take(ctx, int64(size)); err != nil {
		return apperr.ServiceUnavailable(errors.New("no memory for another large body"))
	}
	cl.memory = &share
	return nil
}

// holder is who is held to account for what the request holds: its user, or the address where there is none.
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
	return badRequest()
}

// leaveBody prepares the end of the connection when more of the body is unread than is worth reading.
func leaveBody(c *fiber.Ctx, cl *call) {
	if cl.bodyRead || c.Context().RequestBodyStream() == nil {
		return
	}
	if size := c.Request().Header.ContentLength(); size < 0 || size > drained {
		c.Response().SetConnectionClose()
		httpx.Linger(c)
	}
}
