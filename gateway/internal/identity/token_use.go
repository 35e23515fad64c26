package identity

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/realmgate/realmgate/pkg/internalapi"
)

// tokenUse reports to users-svc that auth tokens are in use: each token at most once a minute, and
// never while a client waits.
type tokenUse struct {
	recent *otter.Cache[string, struct{}]
	queue  chan use
	send   func(ctx context.Context, tokenID string, use internalapi.TokenUse) error
	log    *slog.Logger
}

type use struct {
	tokenID string
	addr    netip.Addr
}

const (
	reportEvery = time.Minute
	reportQueue = 1024
	// reportTimeout is short because a stop waits for the report under way.
	reportTimeout = 2 * time.Second
)

func newTokenUse(log *slog.Logger, report func(context.Context, string, internalapi.TokenUse) error) *tokenUse {
	return &tokenUse{
		recent: otter.Must(&otter.Options[string, struct{}]{
			MaximumSize: maxStates, ExpiryCalculator: otter.ExpiryWriting[string, struct{}](reportEvery),
		}),
		queue: make(chan use, reportQueue), send: report, log: log,
	}
}

// TokenUsed records that an auth token was used from an address. When the queue is full this use is
// not reported; the next one will be.
func (s *Service) TokenUsed(tokenID string, addr netip.Addr) { s.tokenUse.record(tokenID, addr) }

func (u *tokenUse) record(tokenID string, addr netip.Addr) {
	if _, recently := u.recent.GetIfPresent(tokenID); recently {
		return
	}
	if _, first := u.recent.SetIfAbsent(tokenID, struct{}{}); !first {
		return
	}
	select {
	case u.queue <- use{tokenID, addr}:
	default:
		u.recent.Invalidate(tokenID)
	}
}

// run reports until ctx ends.
func (u *tokenUse) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case next := <-u.queue:
			if err := u.report(ctx, next); err != nil && ctx.Err() == nil {
				u.recent.Invalidate(next.tokenID)
				u.log.Warn("the use of a token was not reported", "error", err.Error())
			}
		}
	}
}

func (u *tokenUse) report(ctx context.Context, next use) error {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	return u.send(ctx, next.tokenID, internalapi.TokenUse{IP: next.addr.String()})
}

func (u *tokenUse) close() { u.recent.StopAllGoroutines() }
