package gateway

import (
	"net/netip"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/time/rate"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/limit"
)

// guesses counts the credentials of each address that turned out to be nobody's. An address that has used up what requests without a user may be has
// its unknown credentials refused before they cost a look-up or the check of a signature; those that are remembered still pass, so that neighbours
// behind the same address go on. Each gateway counts for itself: this spares users-svc, while the limit itself is counted in Redis.
type guesses struct {
	limit limit.Rate
	now   func() time.Time
	left  *otter.Cache[string, *rate.Limiter]
}

func newGuesses(r limit.Rate, now func() time.Time) *guesses {
	return &guesses{limit: r, now: now, left: otter.Must(&otter.Options[string, *rate.Limiter]{
		MaximumSize: maxBuckets, ExpiryCalculator: otter.ExpiryAccessing[string, *rate.Limiter](max(r.Period, time.Minute)),
	})}
}

// refusal is why a credential that nobody remembers is not looked at: 429 RATE_LIMITED, nil when it is.
func (g *guesses) refusal(addr netip.Addr) error {
	l, ok := g.left.GetIfPresent(addressKey(addr))
	if !ok {
		return nil
	}
	now := g.now()
	if l.TokensAt(now) >= 1 {
		return nil
	}
	return apperr.RateLimitExceeded(time.Duration(float64(time.Second) * (1 - l.TokensAt(now)) / float64(l.Limit())))
}

// wrong counts a credential that turned out to be nobody's.
func (g *guesses) wrong(addr netip.Addr) {
	if g.limit.Off() {
		return
	}
	key := addressKey(addr)
	l, ok := g.left.GetIfPresent(key)
	if !ok {
		every := rate.Every(g.limit.Period / time.Duration(g.limit.Count))
		l, _ = g.left.SetIfAbsent(key, rate.NewLimiter(every, g.limit.Count))
	}
	l.AllowN(g.now(), 1)
}
