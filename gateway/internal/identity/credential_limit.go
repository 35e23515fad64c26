package identity

import (
	"context"
	"net/netip"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/netaddr"
	"github.com/realmgate/realmgate/pkg/ratelimit"
)

// credentialLimiter limits the unknown credentials that an address sends. An address above the rate
// has them refused before they cost a look-up or the check of a signature. Remembered credentials
// still pass, so that neighbours behind the same address can go on. Each gateway counts for itself:
// this limit only protects users-svc, while the limit of all requests is counted in Redis.
type credentialLimiter struct {
	rate    ratelimit.Rate
	limiter *ratelimit.Limiter // without Redis
}

func newCredentialLimiter(rate ratelimit.Rate) (*credentialLimiter, error) {
	limiter, err := ratelimit.New(nil, nil)
	return &credentialLimiter{rate: rate, limiter: limiter}, err
}

// allow returns 429 RATE_LIMITED when the address has sent too many unknown credentials.
func (l *credentialLimiter) allow(ctx context.Context, addr netip.Addr) error {
	if r := l.limiter.Allow(ctx, netaddr.Network(addr), l.rate, 0); !r.Allowed {
		return apperr.RateLimitExceeded(r.RetryAfter)
	}
	return nil
}

// recordFailure counts an unknown credential.
func (l *credentialLimiter) recordFailure(ctx context.Context, addr netip.Addr) {
	l.limiter.Allow(ctx, netaddr.Network(addr), l.rate, 1)
}
