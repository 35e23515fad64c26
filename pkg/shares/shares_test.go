package shares

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestNobodyHasMoreThanAPart(t *testing.T) {
	t.Parallel()
	s := New(100, 25)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	shares := map[string]*Share{}
	for _, step := range []struct {
		what, who, share string
		n                int64
		fits             bool
	}{
		{"some of a part", "eve", "first", 15, true},
		{"what is more than the rest of it", "eve", "second", 11, false},
		{"the rest of it", "eve", "second", 10, true},
		{"more for a share that has some", "eve", "first", 16, false},
		{"what it has already", "eve", "first", 15, true},
		{"somebody else", "ada", "ada's", 25, true},
		{"all that is left, which is more than a part", "bob", "bob's", 50, true},
		{"more of it for who has a whole part", "bob", "bob's", 51, false},
		{"when nothing is left", "dan", "dan's", 1, false},
	} {
		share := shares[step.share]
		if share == nil {
			of := s.Of(step.who)
			share = &of
			shares[step.share] = share
		}
		before := share.Size()
		if tried, taken := share.Try(step.n), share.Take(ended, step.n) == nil; tried != step.fits || taken != step.fits {
			t.Errorf("%s, %d: Try says %v and Take %v, want %v", step.what, step.n, tried, taken, step.fits)
		}
		if want := map[bool]int64{true: step.n, false: before}[step.fits]; share.Size() != want {
			t.Errorf("%s: the share has %d, want %d", step.what, share.Size(), want)
		}
	}
	for _, share := range shares {
		share.Release()
		share.Release() // what is empty may be released again
	}
	everything := s.Of("eve")
	if !everything.Try(1000) || everything.Size() != 100 {
		t.Errorf("all of it, when it is asked for more: got %d", everything.Size())
	}
	everything.Release()
	if len(s.holders) != 0 {
		t.Errorf("%d holders are remembered who have nothing", len(s.holders))
	}
}

func TestWhatAShareDoesNotKeepIsFree(t *testing.T) {
	t.Parallel()
	s := New(100, 25)
	large, small, other := s.Of("eve"), s.Of("eve"), s.Of("ada")
	if !large.Try(90) || small.Try(1) || other.Try(11) {
		t.Fatal("a share of 90 leaves 10, and nothing for its holder")
	}
	large.Keep(95)
	large.Keep(30)
	if large.Size() != 30 || small.Try(1) || !other.Try(25) {
		t.Errorf("a share that keeps more than a part has %d; its holder has the rest of it, or others have not", large.Size())
	}
	large.Keep(20)
	if small.Try(6) || !small.Try(5) {
		t.Error("a share that keeps 20 leaves its holder 5")
	}
	large.Release()
	if !small.Try(25) {
		t.Error("a share that keeps nothing leaves its holder a part")
	}
}

func TestWhoWaitsForThemselvesKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	s := New(100, 25)
	first := s.Of("eve")
	if !first.Try(25) {
		t.Fatal("a part is free at first")
	}
	waited := make(chan error, 1)
	second := s.Of("eve")
	go func() { waited <- second.Take(context.Background(), 100) }()
	for waiting := 0; waiting < 2; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		waiting = s.holders["eve"].times
		s.mu.Unlock()
	}
	for range 100 {
		other := s.Of("ada")
		if !other.Try(25) {
			t.Fatal("somebody who waits for their own part keeps others waiting")
		}
		other.Release()
	}
	impatient := s.Of("eve")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := impatient.Take(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a third one: got %v", err)
	}
	first.Release()
	if err := <-waited; err != nil || second.Size() != 100 {
		t.Errorf("got %v and %d", err, second.Size())
	}
}

func TestTogetherTheyNeverHaveMoreThanAll(t *testing.T) {
	t.Parallel()
	const all, part = 64, 16
	s := New(all, part)
	var used atomic.Int64
	var wait sync.WaitGroup
	for n := range 12 {
		wait.Go(func() {
			for i := range 300 {
				share, size := s.Of(fmt.Sprint("holder", n%5)), int64((n*31+i*7)%24+1)
				if err := share.Take(context.Background(), size); err != nil {
					t.Error(err)
				}
				if now := used.Add(size); now > all {
					t.Errorf("%d of %d are held", now, all)
				}
				used.Add(size/2 - size)
				share.Keep(size / 2)
				used.Add(-size / 2)
				share.Release()
			}
		})
	}
	wait.Wait()
	if rest := s.Of("last"); !rest.Try(all) || len(s.holders) != 1 {
		t.Errorf("not everything was given back, or %d holders are left", len(s.holders))
	}
}
