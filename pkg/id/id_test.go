package id

import (
	"regexp"
	"sync"
	"testing"
	"time"
)

func TestIDsSortByTimeAndCarryIt(t *testing.T) {
	at := time.Date(2026, 11, 24, 1, 2, 3, 456_000_000, time.UTC)
	a, b := New(at), New(at.Add(time.Millisecond))
	if !Valid(a) || a >= b {
		t.Fatalf("ids %q and %q do not sort by time", a, b)
	}
	if got, ok := Time(a); !ok || !got.Equal(at) {
		t.Fatalf("Time(%q) = %v, %v; want %v", a, got, ok, at)
	}
}

func TestValid(t *testing.T) {
	for s, want := range map[string]bool{
		"507f1f77bcf86cd799439011": true, "507F1F77BCF86CD799439011": false, "": false,
		"507f1f77bcf86cd79943901":  false,
		"507f1f77bcf86cd79943901g": false, "507f1f77bcf86cd7994390111": false,
	} {
		if got := Valid(s); got != want {
			t.Errorf("Valid(%q) = %v, want %v", s, got, want)
		}
	}
}

func FuzzID(f *testing.F) {
	for _, seed := range []string{"", New(time.Now()), "019a3c1d2e3f4a5b6c7d8e9f", "019A3C1D2E3F4A5B6C7D8E9F",
		"ffffffffffffffffffffffff", "019a3c1d2e3f4a5b6c7d8e9g", "é19a3c1d2e3f4a5b6c7d8e9"} {
		f.Add(seed)
	}
	shape := regexp.MustCompile(`\A[0-9a-f]{24}\z`)
	f.Fuzz(func(t *testing.T, s string) {
		at, ok := Time(s)
		if want := shape.MatchString(s); ok != want || Valid(s) != want {
			t.Fatalf("%q: valid %v, has a time %v; want %v", s, Valid(s), ok, want)
		}
		if ok && New(at)[:12] != s[:12] {
			t.Errorf("%q was made at %v, but an id of that time begins with %s", s, at, New(at)[:12])
		}
	})
}

func TestIDsOfASequenceSortAsTheyWereMade(t *testing.T) {
	t.Parallel()
	var ids Sequence
	at := time.UnixMilli(1_790_000_000_000)
	var all sync.Map
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			last := ""
			for range 2000 {
				next := ids.New(at)
				if _, twice := all.LoadOrStore(next, true); twice || next <= last || !Valid(next) {
					t.Errorf("%s after %s, twice: %v", next, last, twice)
					return
				}
				last = next
			}
		})
	}
	wait.Wait()
	last := ids.New(at)
	if made, _ := Time(last); made.Sub(at) < 0 || made.Sub(at) > time.Millisecond {
		t.Errorf("made at %v, want %v", made, at)
	}
	if next := ids.New(at.Add(-3 * time.Millisecond)); next <= last {
		t.Errorf("%s after %s: a clock that goes back a little must not turn the order", next, last)
	}
	if made, _ := Time(ids.New(at.Add(-time.Hour))); !made.Equal(at.Add(-time.Hour).UTC()) {
		t.Errorf("made at %v, although the clock was set back by an hour", made)
	}
}
