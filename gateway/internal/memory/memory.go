// Package memory limits the bytes that request bodies occupy while they are read and sent on: those
// of all users together, of one user, and of requests without a user. A slow sender blocks only
// others of its kind. Start reading at Budget.
package memory

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/fairsem"
	"github.com/realmgate/realmgate/pkg/netaddr"
)

// Bodies up to these sizes are not accounted for, because the limit of connections bounds them:
// Unaccounted with a user, UnaccountedAnonymous, which is more than signing in needs, without.
const (
	Unaccounted          = 64 << 10
	UnaccountedAnonymous = 8 << 10
)

// Larger bodies of requests without a user may have AnonymousBytes together, and those of one site
// the part of it that AnonymousShare divides.
const (
	AnonymousBytes = 32 << 20
	AnonymousShare = 16
)

// MaxAnonymous is the largest body of a request without a user.
const MaxAnonymous = 64 << 10

// Users' bodies of up to maxSmall share a part of the budget, of which one user may have what one
// such body needs. Larger bodies share the rest, and one user may send one of them at a time.
const (
	smallShare = 4  // the divisor of the budget
	smallUsers = 16 // as many users fill the part of small bodies
)

// errFull is the logged cause of a refusal.
var errFull = errors.New("no memory for another large body")

// Budget is the memory for bodies.
type Budget struct {
	small, large, anonymous *fairsem.Semaphore
	maxSmall                int
	wait                    time.Duration
}

// New returns a budget of capacity bytes for the bodies of users. A reservation waits at most wait
// for its bytes.
func New(capacity int64, wait time.Duration) *Budget {
	small := capacity / smallShare
	return &Budget{
		small: fairsem.New(small, small/smallUsers), maxSmall: int(small / smallUsers),
		large:     fairsem.New(capacity-small, 1),
		anonymous: fairsem.New(AnonymousBytes, AnonymousBytes/AnonymousShare),
		wait:      wait,
	}
}

// Reservation is the memory of one body. Its zero value has none. It is not safe for concurrent
// use.
type Reservation struct {
	budget     *Budget
	userKey    string     // "": no user
	clientAddr netip.Addr // without a user
	small      fairsem.Lease
	large      fairsem.Lease
}

// ForUser returns an empty reservation of a user. The caller must call Release.
func (b *Budget) ForUser(userKey string) Reservation { return Reservation{budget: b, userKey: userKey} }

// ForAnonymous returns an empty reservation of a request without a user. The caller must call
// Release.
func (b *Budget) ForAnonymous(clientAddr netip.Addr) Reservation {
	return Reservation{budget: b, clientAddr: clientAddr}
}

// Reserve waits until there is memory for size bytes of a body that may grow to most bytes, in
// total and for its sender; 503 SERVICE_UNAVAILABLE when that takes too long. Bodies that reserved
// more and more could wait for each other, so a body that may grow reserves all that its kind may
// have.
func (r *Reservation) Reserve(ctx context.Context, size, most int) error {
	lease, n := r.lease(size, most)
	if lease == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.budget.wait)
	defer cancel()
	if err := lease.Acquire(ctx, int64(n)); err != nil {
		return apperr.ServiceUnavailable(errFull)
	}
	return nil
}

// lease returns the lease for a body and the bytes that it must have; nil for a body that is not
// accounted for.
func (r *Reservation) lease(size, most int) (*fairsem.Lease, int) {
	switch {
	case r.userKey == "" && size <= UnaccountedAnonymous, r.userKey != "" && size <= Unaccounted:
		return nil, 0
	case r.userKey == "":
		if r.small.Size() == 0 {
			r.small = r.budget.anonymous.For(netaddr.Site(r.clientAddr))
		}
		return &r.small, min(MaxAnonymous, most)
	case size <= r.budget.maxSmall:
		if r.small.Size() == 0 {
			r.small = r.budget.small.For(r.userKey)
		}
		return &r.small, min(r.budget.maxSmall, most)
	}
	if r.large.Size() == 0 {
		r.large = r.budget.large.For(r.userKey)
	}
	return &r.large, most
}

// Release gives everything back.
func (r *Reservation) Release() {
	r.small.Release()
	r.large.Release()
}
