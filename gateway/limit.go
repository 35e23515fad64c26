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

// count counts the request against the limit of its user, or of its address when there is no user
// or the credential is not allowed from there: a stolen token must not use up its owner's limit.
// Then it counts the request against the limit of its route's class. The error is 429 RATE_LIMITED;
// it is in the log of the owner only if it is the owner's limit.
func (g *gateway) count(c *fiber.Ctx, ex *exchange) error {
	err := g.countInClass(c, ex)
	if err != nil && ex.principal != nil && !ex.principal.AllowedFrom(ex.clientAddr) {
		ex.principal = nil
	}
	return err
}

func (g *gateway) countInClass(c *fiber.Ctx, ex *exchange) error {
	if ex.route != nil && ex.route.rate == uncounted {
		return nil
	}
	ctx := c.UserContext()
	var key string
	var rate ratelimit.Rate
	if ex.principal != nil && ex.principal.AllowedFrom(ex.clientAddr) {
		key, rate = ex.principal.LimitKey(), g.cfg.Limits.User
	} else {
		key, rate = addressLimitKey(ex.clientAddr), g.cfg.Limits.Address
	}
	if err := g.countAs(ctx, ex, key, rate); err != nil {
		return err
	}
	if ex.route == nil {
		return nil
	}
	switch ex.route.rate {
	case signup:
		return g.countAs(ctx, ex, "signup:"+key, g.cfg.Limits.Signup)
	case verify:
		return g.countAs(ctx, ex, "verify:"+key, g.cfg.Limits.Verify)
	case resend:
		return g.countAs(ctx, ex, "resend:"+key, g.cfg.Limits.Resend)
	case retrySetup:
		if ex.principal != nil {
			return g.countAs(ctx, ex, "retry-setup:"+key, g.cfg.Limits.RetrySetup)
		}
	}
	return nil
}

// addressLimitKey is the key by which requests without a user are counted.
func addressLimitKey(addr netip.Addr) string { return "addr:" + netaddr.Network(addr) }

func (g *gateway) countAs(ctx context.Context, ex *exchange, key string, r ratelimit.Rate) error {
	if r.Off() {
		return nil
	}
	ex.limit, ex.limitResult = r, g.batches.Allow(ctx, key, r)
	if !ex.limitResult.Allowed {
		return apperr.RateLimitExceeded(ex.limitResult.RetryAfter)
	}
	return nil
}

// setLimitHeaders tells the client the state of the limit (draft-ietf-httpapi-ratelimit-headers),
// with Reset in seconds. The headers of a service that enforced a limit of its own stay.
func setLimitHeaders(c *fiber.Ctx, ex *exchange) {
	h := &c.Response().Header
	if ex.limit.Off() || len(h.Peek("RateLimit-Limit")) > 0 {
		return
	}
	var digits [20]byte
	h.SetBytesV("RateLimit-Limit", strconv.AppendInt(digits[:0], int64(ex.limit.Count), 10))
	h.SetBytesV("RateLimit-Remaining", strconv.AppendInt(digits[:0], int64(max(ex.limitResult.Remaining, 0)), 10))
	h.SetBytesV("RateLimit-Reset",
		strconv.AppendInt(digits[:0], int64((ex.limitResult.ResetAfter+time.Second-1)/time.Second), 10))
}
