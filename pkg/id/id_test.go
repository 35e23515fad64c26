package id

import (
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
		"507f1f77bcf86cd799439011": true, "507F1F77BCF86CD799439011": false, "": false, "507f1f77bcf86cd79943901": false,
		"507f1f77bcf86cd79943901g": false, "507f1f77bcf86cd7994390111": false,
	} {
		if got := Valid(s); got != want {
			t.Errorf("Valid(%q) = %v, want %v", s, got, want)
		}
	}
}
