package vault

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/shares"
)

// Inflight bounds the memory that large values hold together while they are read, sealed, stored and answered, and what those of one user hold of it.
type Inflight struct {
	shares  *shares.Shares
	wait    time.Duration
	used    atomic.Int64
	refused atomic.Int64
}

// smallBody is the size up to which bodies and values are not accounted: the number of connections bounds them well enough.
const smallBody = 64 << 10

// copies is how often a value of many megabytes is in memory at the same time at most: as it came, sealed, and in the message to or from PostgreSQL.
const copies = 3

// partOfInflight is the part of the memory that nobody's values hold more of, but for a single one that does not fit in it: a client that does not read
// its answers keeps itself waiting, and nobody else.
const partOfInflight = 4

func newInflight(capacity int64, wait time.Duration) *Inflight {
	return &Inflight{shares: shares.New(capacity, capacity/partOfInflight), wait: wait}
}

// Hold is what one request holds of an Inflight. It is used by one goroutine at a time.
type Hold struct {
	f     *Inflight
	share shares.Share
}

// errBusy is the cause of refusals for the log.
var errBusy = errors.New("VAULT_MAX_INFLIGHT_BYTES, or the user's part of them, are in use")

// Hold returns a hold of nothing yet for a user. Its Release must be called in the end.
func (f *Inflight) Hold(user string) *Hold { return &Hold{f: f, share: f.shares.Of(user)} }

// Take waits until the hold has at least n bytes; the error is 503 SERVICE_UNAVAILABLE when that takes too long. A single request is never refused
// for being too large: all of the capacity is enough for it.
func (h *Hold) Take(ctx context.Context, n int64) error {
	before := h.share.Size()
	ctx, cancel := context.WithTimeout(ctx, h.f.wait)
	defer cancel()
	return h.took(before, h.share.Take(ctx, n) == nil)
}

// TryTake is Take without waiting, for callers that hold something that others wait for.
func (h *Hold) TryTake(n int64) error {
	before := h.share.Size()
	return h.took(before, h.share.Try(n))
}

func (h *Hold) took(before int64, ok bool) error {
	if !ok {
		h.f.refused.Add(1)
		return apperr.ServiceUnavailable(errBusy)
	}
	h.f.used.Add(h.share.Size() - before)
	return nil
}

// Keep gives back what the hold has above n bytes.
func (h *Hold) Keep(n int64) {
	if more := h.share.Size() - n; more > 0 {
		h.share.Keep(n)
		h.f.used.Add(-more)
	}
}

// Release gives everything back.
func (h *Hold) Release() { h.Keep(0) }
