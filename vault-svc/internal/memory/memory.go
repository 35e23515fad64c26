// Package memory limits the bytes that large values occupy while they are read, sealed, stored and
// answered: in total, and for each user. Start reading at Budget.
package memory

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/fairsem"
)

// UserShare is the divisor of the budget that one user's reservations may have together; a single
// larger reservation is granted to a user that has no other. A client that does not read its
// answers delays only itself.
const UserShare = 4

// errBusy is the logged cause of a refusal.
var errBusy = errors.New("VAULT_MAX_INFLIGHT_BYTES, or the user's part of them, are in use")

// Budget is the memory that can be reserved.
type Budget struct {
	sem     *fairsem.Semaphore
	wait    time.Duration
	used    atomic.Int64
	refused atomic.Int64
}

// New returns a budget of capacity bytes; a reservation waits at most wait for its bytes.
func New(capacity int64, wait time.Duration) *Budget {
	return &Budget{sem: fairsem.New(capacity, capacity/UserShare), wait: wait}
}

// Used returns the reserved bytes.
func (b *Budget) Used() int64 { return b.used.Load() }

// Refused returns the number of refused requests since the start.
func (b *Budget) Refused() int64 { return b.refused.Load() }

// Reservation is the memory of one request. It is not safe for concurrent use.
type Reservation struct {
	budget *Budget
	lease  fairsem.Lease
}

// For returns an empty reservation of a user. The caller must call Release.
func (b *Budget) For(user string) *Reservation {
	return &Reservation{budget: b, lease: b.sem.For(user)}
}

// Size returns the bytes that the reservation has.
func (r *Reservation) Size() int64 { return r.lease.Size() }

// Grow waits until the reservation has at least n bytes, or the whole budget if that is less, so no
// single request is too large. The error is 503 SERVICE_UNAVAILABLE when that takes too long.
func (r *Reservation) Grow(ctx context.Context, n int64) error {
	before := r.lease.Size()
	ctx, cancel := context.WithTimeout(ctx, r.budget.wait)
	defer cancel()
	return r.account(before, r.lease.Acquire(ctx, n) == nil)
}

// TryGrow is Grow without waiting, for callers that hold a resource that others wait for.
func (r *Reservation) TryGrow(n int64) error {
	before := r.lease.Size()
	return r.account(before, r.lease.TryAcquire(n))
}

func (r *Reservation) account(before int64, granted bool) error {
	if !granted {
		r.budget.refused.Add(1)
		return apperr.ServiceUnavailable(errBusy)
	}
	r.budget.used.Add(r.lease.Size() - before)
	return nil
}

// ShrinkTo gives back the bytes above n.
func (r *Reservation) ShrinkTo(n int64) {
	if surplus := r.lease.Size() - n; surplus > 0 {
		r.lease.ShrinkTo(n)
		r.budget.used.Add(-surplus)
	}
}

// Release gives everything back.
func (r *Reservation) Release() { r.ShrinkTo(0) }
