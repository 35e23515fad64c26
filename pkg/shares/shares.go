// Package shares owns the dividing of something scarce, such as memory or connections, among those who ask for it. Start reading at Shares.
package shares

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Shares divides: together its holders have at most all of it, and nobody has more than a part, so that no single client can keep the others out by
// holding on. What is larger than a part is possible all the same, for who holds nothing else.
type Shares struct {
	all        *semaphore.Weighted
	size, part int64

	mu      sync.Mutex
	holders map[string]*holder
}

// holder is somebody who has shares, or waits for one.
type holder struct {
	own   *semaphore.Weighted
	times int // how often
}

// New divides all; a part of it is what one holder may have.
func New(all, part int64) *Shares {
	return &Shares{all: semaphore.NewWeighted(all), size: all, part: part, holders: map[string]*holder{}}
}

// Share is what one request of a holder has. It is used by one goroutine at a time.
type Share struct {
	of  *Shares
	who string
	h   *holder // nil: it has nothing and waits for nothing
	n   int64
}

// Of returns a share of nothing yet. Once it has something, its Release must be called in the end.
func (s *Shares) Of(who string) Share { return Share{of: s, who: who} }

// Size returns how much the share has.
func (s *Share) Size() int64 { return s.n }

// Take waits until the share has at least n, or all that there is, and returns the error of ctx when that ends first: then it has what it had. Whoever
// has a whole part waits for themselves first, and keeps nobody else waiting meanwhile.
func (s *Share) Take(ctx context.Context, n int64) error {
	n, more, own := s.lacks(n)
	if more <= 0 {
		return nil
	}
	s.enter()
	if own > 0 { // a semaphore has those who want nothing of it wait, too
		if err := s.h.own.Acquire(ctx, own); err != nil {
			s.leave()
			return err
		}
	}
	if err := s.of.all.Acquire(ctx, more); err != nil {
		s.h.own.Release(own)
		s.leave()
		return err
	}
	s.n = n
	return nil
}

// Try is Take without waiting; false when there is no such share now.
func (s *Share) Try(n int64) bool {
	n, more, own := s.lacks(n)
	if more <= 0 {
		return true
	}
	s.enter()
	if own > 0 && !s.h.own.TryAcquire(own) {
		s.leave()
		return false
	}
	if !s.of.all.TryAcquire(more) {
		s.h.own.Release(own)
		s.leave()
		return false
	}
	s.n = n
	return true
}

// Keep gives back what the share has above n.
func (s *Share) Keep(n int64) {
	if n >= s.n {
		return
	}
	s.of.all.Release(s.n - n)
	s.h.own.Release(min(s.n, s.of.part) - min(n, s.of.part))
	s.n = n
	s.leave()
}

// Release gives everything back.
func (s *Share) Release() { s.Keep(0) }

// lacks returns how much a share of n may have, what is missing of that, and how much of what is missing counts against the holder's part.
func (s *Share) lacks(n int64) (size, more, own int64) {
	size = min(n, s.of.size)
	return size, size - s.n, min(size, s.of.part) - min(s.n, s.of.part)
}

// enter makes the share one of its holder's, unless it is.
func (s *Share) enter() {
	if s.h != nil {
		return
	}
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	s.h = s.of.holders[s.who]
	if s.h == nil {
		s.h = &holder{own: semaphore.NewWeighted(s.of.part)}
		s.of.holders[s.who] = s.h
	}
	s.h.times++
}

// leave ends that when the share has nothing.
func (s *Share) leave() {
	if s.n > 0 {
		return
	}
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if s.h.times--; s.h.times == 0 {
		delete(s.of.holders, s.who)
	}
	s.h = nil
}
