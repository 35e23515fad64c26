package service

import (
	"runtime/debug"
	"testing"
)

// TestGOGCInTheEnvironmentDecides restores the value of the process, which the other tests share.
func TestGOGCInTheEnvironmentDecides(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	for value, want := range map[string]int{"": gcPercent, "50": 100} {
		debug.SetGCPercent(100)
		t.Setenv("GOGC", value)
		SetGCPercent()
		if got := debug.SetGCPercent(100); got != want {
			t.Errorf("GOGC=%q: got %d, want %d", value, got, want)
		}
	}
}
