package gateway

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/maypok86/otter/v2"

	"github.com/realmgate/realmgate/pkg/internalapi"
)

// lastUsed tells users-svc that auth tokens are in use: for each token at most once a minute, and
// never while a client waits.
type lastUsed struct {
	recent *otter.Cache[string, struct{}]
	queue  chan tokenUse
	report func(ctx context.Context, tokenID string, body []byte) error
	log    *slog.Logger
}

type tokenUse struct {
	id   string
	addr netip.Addr
}

const (
	reportEvery = time.Minute
	reportQueue = 1024
	// reportTimeout is short because a stop waits for the report under way.
	reportTimeout = 2 * time.Second
)

func newLastUsed(log *slog.Logger, report func(context.Context, string, []byte) error) *lastUsed {
	return &lastUsed{
		recent: otter.Must(&otter.Options[string, struct{}]{
			MaximumSize: maxStates, ExpiryCalculator: otter.ExpiryWriting[string, struct{}](reportEvery),
		}),
		queue: make(chan tokenUse, reportQueue), report: report, log: log,
	}
}

// saw notes a use. When the queue is full the use is not reported; the next one will be.
func (u *lastUsed) saw(tokenID string, addr netip.Addr) {
	if _, recently := u.recent.GetIfPresent(tokenID); recently {
		return
	}
	if _, first := u.recent.SetIfAbsent(tokenID, struct{}{}); !first {
		return
	}
	select {
	case u.queue <- tokenUse{tokenID, addr}:
	default:
		u.recent.Invalidate(tokenID)
	}
}

// run reports until ctx ends.
func (u *lastUsed) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case use := <-u.queue:
			if err := u.tell(ctx, use); err != nil && ctx.Err() == nil {
				u.recent.Invalidate(use.id)
				u.log.Warn("the use of a token was not reported", "error", err.Error())
			}
		}
	}
}

func (u *lastUsed) tell(ctx context.Context, use tokenUse) error {
	body, err := json.Marshal(internalapi.TokenUse{IP: use.addr.String()})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	return u.report(ctx, use.id, body)
}
