package gateway

import (
	"context"
	"net/netip"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/netaddr"
	"github.com/realmgate/realmgate/pkg/ratelimit"
)

// count counts the request: as its user's, or its address's when there is no user, or the
// credential is not good or not valid from there: whoever has found a token must not use up its
// owner's limit. And in the class of its route. The error is 429 RATE_LIMITED; it stands in the log
// of the owner only if it is the owner's limit.
func (g *gateway) count(c *fiber.Ctx, cl *call) error {
	err := g.countInClass(c, cl)
	if err != nil && cl.who != nil && !cl.who.usableFrom(cl.addr) {
		cl.who = nil
	}
	return err
}

func (g *gateway) countInClass(c *fiber.Ctx, cl *call) error {
	if cl.route != nil && cl.route.rate == uncounted {
		return nil
	}
	ctx := c.UserContext()
	key, general := "", g.cfg.Limits.User
	if cl.who != nil && cl.who.usableFrom(cl.addr) {
		key = cl.who.limitKey
	} else {
		key, general = addressLimitKey(cl.addr), g.cfg.Limits.Address
	}
	if err := g.countAs(ctx, cl, key, general); err != nil {
		return err
	}
	if cl.route == nil {
		return nil
	}
	name, special := "", ratelimit.Rate{}
	switch cl.route.rate {
	case signup:
		name, special = "signup:", g.cfg.Limits.Signup
	case verify:
		name, special = "verify:", g.cfg.Limits.Verify
	case resend:
		name, special = "resend:", g.cfg.Limits.Resend
	case retrySetup:
		if cl.who == nil {
			return nil
		}
		name, special = "retry-setup:", g.cfg.Limits.RetrySetup
	default:
		return nil
	}
	return g.countAs(ctx, cl, name+key, special)
}

// addressLimitKey is what stands for an address where requests without a user are counted.
func addressLimitKey(addr netip.Addr) string { return "addr:" + netaddr.Network(addr) }

func (g *gateway) countAs(ctx context.Context, cl *call, key string, r ratelimit.Rate) error {
	if r.Off() {
		return nil
	}
	cl.counted, cl.countResult = r, g.batches.Allow(ctx, key, r)
	if !cl.countResult.Allowed {
		return apperr.RateLimitExceeded(cl.countResult.RetryAfter)
	}
	return nil
}

// limitHeaders tells the client where it stands (draft-ietf-httpapi-ratelimit-headers): Reset in
// seconds. What a service says of a limit of its own that is used up stays.
func limitHeaders(c *fiber.Ctx, cl *call) {
	h := &c.Response().Header
	if cl.counted.Off() || len(h.Peek("RateLimit-Limit")) > 0 {
		return
	}
	var digits [20]byte
	h.SetBytesV("RateLimit-Limit", strconv.AppendInt(digits[:0], int64(cl.counted.Count), 10))
	h.SetBytesV("RateLimit-Remaining", strconv.AppendInt(digits[:0], int64(max(cl.countResult.Remaining, 0)), 10))
	h.SetBytesV("RateLimit-Reset",
		strconv.AppendInt(digits[:0], int64((cl.countResult.ResetAfter+time.Second-1)/time.Second), 10))
}
