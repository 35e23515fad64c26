package gateway

import (
	"context"
	"net/netip"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/limit"
	"github.com/realmgate/realmgate/pkg/netaddr"
)

// guesses counts the credentials of each address that turned out to be nobody's. An address that has used up what requests without a user may be has
// its unknown credentials refused before they cost a look-up or the check of a signature; those that are remembered still pass, so that neighbours
// behind the same address go on. Each gateway counts for itself: this spares users-svc, while the limit itself is counted in Redis.
type guesses struct {
	rate limit.Rate
	own  *limit.Limiter // without Redis
}

func newGuesses(r limit.Rate) (*guesses, error) {
	own, err := limit.New(nil, nil)
	return &guesses{rate: r, own: own}, err
}

// refusal is why a credential that nobody remembers is not looked at: 429 RATE_LIMITED, nil when it is.
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
