package fairsem

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestAHolderHasAtMostAPart(t *testing.T) {
	t.Parallel()
	s := New(100, 25)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	leases := map[string]*Lease{}
	for _, step := range []struct {
		what, holder, lease string
		n                   int64
		fits                bool
	}{
		{"some of a part", "eve", "first", 15, true},
		{"what is more than the rest of it", "eve", "second", 11, false},
		{"the rest of it", "eve", "second", 10, true},
		{"more for a lease that has some", "eve", "first", 16, false},
		{"what it has already", "eve", "first", 15, true},
		{"somebody else", "ada", "ada's", 25, true},
		{"all that is left, which is more than a part", "bob", "bob's", 50, true},
		{"more of it for who has a whole part", "bob", "bob's", 51, false},
		{"when nothing is left", "dan", "dan's", 1, false},
	} {
		lease := leases[step.lease]
		if lease == nil {
			of := s.For(step.holder)
			lease = &of
			leases[step.lease] = lease
		}
		before := lease.Size()
		if tried, taken := lease.TryAcquire(step.n), lease.Acquire(ended, step.n) == nil; tried != step.fits ||
			taken != step.fits {
			t.Errorf("%s, %d: TryAcquire says %v and Acquire %v, want %v", step.what, step.n, tried, taken, step.fits)
		}
		if want := map[bool]int64{true: step.n, false: before}[step.fits]; lease.Size() != want {
			t.Errorf("%s: the lease has %d, want %d", step.what, lease.Size(), want)
		}
	}
	for _, lease := range leases {
		lease.Release()
		lease.Release() // an empty lease may be released again
	}
	everything := s.For("eve")
	if !everything.TryAcquire(1000) || everything.Size() != 100 {
		t.Errorf("all of it, when it is asked for more: got %d", everything.Size())
	}
	everything.Release()
	if len(s.holders) != 0 {
		t.Errorf("%d holders are remembered who have nothing", len(s.holders))
	}
}

func TestShrinkingFreesUnits(t *testing.T) {
	t.Parallel()
	s := New(100, 25)
	large, small, other := s.For("eve"), s.For("eve"), s.For("ada")
	if !large.TryAcquire(90) || small.TryAcquire(1) || other.TryAcquire(11) {
		t.Fatal("a lease of 90 leaves 10, and nothing for its holder")
	}
	large.ShrinkTo(95)
	large.ShrinkTo(30)
	if large.Size() != 30 || small.TryAcquire(1) || !other.TryAcquire(25) {
		t.Errorf("a lease that keeps more than a part has %d; its holder has the rest of it, or others have not",
			large.Size())
	}
	large.ShrinkTo(20)
	if small.TryAcquire(6) || !small.TryAcquire(5) {
		t.Error("a lease that keeps 20 leaves its holder 5")
	}
	large.Release()
	if !small.TryAcquire(25) {
		t.Error("a lease that keeps nothing leaves its holder a part")
	}
}

func TestAHolderThatWaitsForItselfDelaysNoOther(t *testing.T) {
	t.Parallel()
	s := New(100, 25)
	first := s.For("eve")
	if !first.TryAcquire(25) {
		t.Fatal("a part is free at first")
	}
	waited := make(chan error, 1)
	second := s.For("eve")
	go func() { waited <- second.Acquire(context.Background(), 100) }()
	for waiting := 0; waiting < 2; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		waiting = s.holders["eve"].leases
		s.mu.Unlock()
	}
	for range 100 {
		other := s.For("ada")
		if !other.TryAcquire(25) {
			t.Fatal("somebody who waits for their own part keeps others waiting")
		}
		other.Release()
	}
	impatient := s.For("eve")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := impatient.Acquire(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a third one: got %v", err)
	}
	first.Release()
	if err := <-waited; err != nil || second.Size() != 100 {
		t.Errorf("got %v and %d", err, second.Size())
	}
}

func TestLeasesNeverExceedTheSize(t *testing.T) {
	t.Parallel()
	const all, part = 64, 16
	s := New(all, part)
	var used atomic.Int64
	var wait sync.WaitGroup
	for n := range 12 {
		wait.Go(func() {
			for i := range 300 {
				lease, size := s.For(fmt.Sprint("holder", n%5)), int64((n*31+i*7)%24+1)
				if err := lease.Acquire(context.Background(), size); err != nil {
					t.Error(err)
				}
				if now := used.Add(size); now > all {
					t.Errorf("%d of %d are held", now, all)
				}
				used.Add(size/2 - size)
				lease.ShrinkTo(size / 2)
				used.Add(-size / 2)
				lease.Release()
			}
		})
	}
	wait.Wait()
	if rest := s.For("last"); !rest.TryAcquire(all) || len(s.holders) != 1 {
		t.Errorf("not everything was given back, or %d holders are left", len(s.holders))
	}
}
