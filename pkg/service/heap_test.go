package service

import (
	"runtime"
	"testing"
)

func TestTheHeapGrowsToTheFloorBeforeItIsCollected(t *testing.T) {
	t.Setenv("GOGC", "")
	release := HoldHeap()
	defer release()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.NextGC < 2*heapFloor {
		t.Errorf("the next collection comes at %d bytes, want at least %d", m.NextGC, 2*heapFloor)
	}
}

func TestWhoSetsGOGCDecides(t *testing.T) {
	t.Setenv("GOGC", "100")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	release := HoldHeap()
	defer release()
	runtime.ReadMemStats(&after)
	if after.TotalAlloc-before.TotalAlloc >= heapFloor {
		t.Error("the floor is held all the same")
	}
}
