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

// UserShare limits the reservations of one user: together they get at most capacity/UserShare
// bytes, so that a client that does not read its answers delays only itself. A user without any
// other reservation may have a single larger one.
const UserShare = 4

// ErrBusy is the cause of the errors of Grow and TryGrow.
var ErrBusy = errors.New("VAULT_MAX_INFLIGHT_BYTES, or the user's part of them, are in use")

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

// Reservation is the memory that one request has reserved. It is not safe for concurrent use.
type Reservation struct {
	budget *Budget
	lease  fairsem.Lease
}

// For returns an empty reservation of a user. The caller must call Release.
func (b *Budget) For(user string) *Reservation {
	return &Reservation{budget: b, lease: b.sem.For(user)}
}

// Size returns the reserved bytes.
func (r *Reservation) Size() int64 { return r.lease.Size() }

// Grow waits until the reservation has at least n bytes, or the whole budget if n is larger than
// it, so that every request can be served. The error is 503 SERVICE_UNAVAILABLE when the wait takes
// too long.
func (r *Reservation) Grow(ctx context.Context, n int64) error {
	before := r.lease.Size()
	ctx, cancel := context.WithTimeout(ctx, r.budget.wait)
	defer cancel()
	return r.account(before, r.lease.Acquire(ctx, n) == nil)
}

// TryGrow is Grow without the wait. It is for callers that hold a resource that others need.
func (r *Reservation) TryGrow(n int64) error {
	before := r.lease.Size()
	return r.account(before, r.lease.TryAcquire(n))
}

func (r *Reservation) account(before int64, granted bool) error {
	if !granted {
		r.budget.refused.Add(1)
		return apperr.ServiceUnavailable(ErrBusy)
	}
	r.budget.used.Add(r.lease.Size() - before)
	return nil
}

// ShrinkTo returns the bytes above n to the budget.
func (r *Reservation) ShrinkTo(n int64) {
	if surplus := r.lease.Size() - n; surplus > 0 {
		r.lease.ShrinkTo(n)
		r.budget.used.Add(-surplus)
	}
}

// Release returns all bytes to the budget.
func (r *Reservation) Release() { r.ShrinkTo(0) }
