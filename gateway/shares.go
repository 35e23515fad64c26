package gateway

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// shares divides something scarce among those who ask for it: together they hold at most all of it, and nobody holds more than a part, so that no
// single client can keep the others out by holding on.
type shares struct {
	all  *semaphore.Weighted
	part int64

	mu      sync.Mutex
	holders map[string]*holder
}

// holder is somebody who holds a share, or waits for one.
type holder struct {
	own   *semaphore.Weighted
	times int // how often
}

func newShares(all, part int64) *shares {
	return &shares{all: semaphore.NewWeighted(all), part: part, holders: map[string]*holder{}}
}

// take waits for a share of size n until ctx ends; whoever has a whole part waits for themselves first. The returned function gives it back.
func (s *shares) take(ctx context.Context, who string, n int64) (giveBack func(), err error) {
	h, own := s.enter(who), min(n, s.part)
	if err = h.own.Acquire(ctx, own); err == nil {
		if err = s.all.Acquire(ctx, n); err == nil {
			return s.giver(who, h, n), nil
		}
		h.own.Release(own)
	}
	s.leave(who, h)
	return nil, err
}

// try is take without waiting; false when there is no share now.
func (s *shares) try(who string, n int64) (giveBack func(), ok bool) {
	h, own := s.enter(who), min(n, s.part)
	if h.own.TryAcquire(own) {
		if s.all.TryAcquire(n) {
			return s.giver(who, h, n), true
		}
		h.own.Release(own)
	}
	s.leave(who, h)
	return nil, false
}

func (s *shares) giver(who string, h *holder, n int64) func() {
	return func() {
		s.all.Release(n)
		h.own.Release(min(n, s.part))
		s.leave(who, h)
	}
}

func (s *shares) enter(who string) *holder {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.holders[who]
	if h == nil {
		h = &holder{own: semaphore.NewWeighted(s.part)}
		s.holders[who] = h
	}
	h.times++
	return h
}

func (s *shares) leave(who string, h *holder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.times--; h.times == 0 {
		delete(s.holders, who)
	}
}
