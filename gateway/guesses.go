package gateway

import (
	"context"
	"net/netip"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/netaddr"
	"github.com/realmgate/realmgate/pkg/ratelimit"
)

// guesses counts the credentials of each address that turned out to be nobody's. An address that
// has used up what requests without a user may be has its unknown credentials refused before they
// cost a look-up or the check of a signature; those that are remembered still pass, so that
// neighbours behind the same address go on. Each gateway counts for itself: this spares users-svc,
// while the limit itself is counted in Redis.
type guesses struct {
	rate ratelimit.Rate
	own  *ratelimit.Limiter // without Redis
}

func newGuesses(r ratelimit.Rate) (*guesses, error) {
	own, err := ratelimit.New(nil, nil)
	return &guesses{rate: r, own: own}, err
}

// refusal is why a credential that nobody remembers is not looked at: 429 RATE_LIMITED, nil when it
// is.
func (g *guesses) refusal(ctx context.Context, addr netip.Addr) error {
	if r := g.own.Allow(ctx, netaddr.Network(addr), g.rate, 0); !r.Allowed {
		return apperr.RateLimitExceeded(r.RetryAfter)
	}
	return nil
}

// wrong counts a credential that turned out to be nobody's.
func (g *guesses) wrong(ctx context.Context, addr netip.Addr) {
	g.own.Allow(ctx, netaddr.Network(addr), g.rate, 1)
}
