// Package fairsem provides a weighted semaphore that is divided fairly: its holders together have
// at most its whole size, and each has at most a part of it, so that no single client keeps the
// others out. The gateway divides memory and connections with it, vault-svc memory. Start reading
// at Semaphore.
package fairsem

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Semaphore limits the sum of its leases to size, and the sum of one holder's leases to part. A
// lease larger than a part is granted only to a holder that has no other lease.
type Semaphore struct {
	all        *semaphore.Weighted
	size, part int64

	mu      sync.Mutex
	holders map[string]*holder
}

// holder has at least one lease, or waits for one.
type holder struct {
	own    *semaphore.Weighted // limits the holder to its part
	leases int
}

// New returns a semaphore of size units, of which one holder may have part.
func New(size, part int64) *Semaphore {
	return &Semaphore{all: semaphore.NewWeighted(size), size: size, part: part, holders: map[string]*holder{}}
}

// Lease is the share of one request. It is not safe for concurrent use.
type Lease struct {
	sem  *Semaphore
	name string  // of the holder
	h    *holder // nil: the lease is empty and waits for nothing
	n    int64
}

// For returns an empty lease of the holder called name. Release must be called once it has acquired
// something.
func (s *Semaphore) For(name string) Lease { return Lease{sem: s, name: name} }

// Size returns the units that the lease has.
func (l *Lease) Size() int64 { return l.n }

// Acquire grows the lease to n units, or to the whole semaphore if that is less, and waits until
// they are free. When ctx ends first, it returns the context's error and the lease stays as it was.
// A holder that has its whole part waits for its own leases and delays no other holder.
func (l *Lease) Acquire(ctx context.Context, n int64) error {
	n, more, own := l.missing(n)
	if more <= 0 {
		return nil
	}
	l.attach()
	if own > 0 { // Acquire(ctx, 0) would queue behind the holder's other requests
		if err := l.h.own.Acquire(ctx, own); err != nil {
			l.detach()
			return err
		}
	}
	if err := l.sem.all.Acquire(ctx, more); err != nil {
		l.h.own.Release(own)
		l.detach()
		return err
	}
	l.n = n
	return nil
}

// TryAcquire is Acquire without waiting; it reports whether the lease has n units now.
func (l *Lease) TryAcquire(n int64) bool {
	n, more, own := l.missing(n)
	if more <= 0 {
		return true
	}
	l.attach()
	if own > 0 && !l.h.own.TryAcquire(own) {
		l.detach()
		return false
	}
	if !l.sem.all.TryAcquire(more) {
		l.h.own.Release(own)
		l.detach()
		return false
	}
	l.n = n
	return true
}

// ShrinkTo gives back the units above n.
func (l *Lease) ShrinkTo(n int64) {
	if n >= l.n {
		return
	}
	l.sem.all.Release(l.n - n)
	l.h.own.Release(min(l.n, l.sem.part) - min(n, l.sem.part))
	l.n = n
	l.detach()
}

// Release gives everything back. An empty lease may be released again.
func (l *Lease) Release() { l.ShrinkTo(0) }

// missing caps n at the size of the semaphore. It returns n, the units that the lease lacks, and
// the number of these that count against the holder's part.
func (l *Lease) missing(n int64) (size, more, own int64) {
	size = min(n, l.sem.size)
	return size, size - l.n, min(size, l.sem.part) - min(l.n, l.sem.part)
}

// attach adds the lease to the leases of its holder, unless it is already one of them.
func (l *Lease) attach() {
	if l.h != nil {
		return
	}
	l.sem.mu.Lock()
	defer l.sem.mu.Unlock()
	l.h = l.sem.holders[l.name]
	if l.h == nil {
		l.h = &holder{own: semaphore.NewWeighted(l.sem.part)}
		l.sem.holders[l.name] = l.h
	}
	l.h.leases++
}

// detach undoes attach once the lease is empty, and forgets a holder without leases.
func (l *Lease) detach() {
	if l.n > 0 {
		return
	}
	l.sem.mu.Lock()
	defer l.sem.mu.Unlock()
	if l.h.leases--; l.h.leases == 0 {
		delete(l.sem.holders, l.name)
	}
	l.h = nil
}
