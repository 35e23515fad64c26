package service

import (
	"runtime"
	"testing"
	"time"
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
	before := allocated()
	release := HoldHeap()
	defer release()
	if allocated()-before >= heapFloor {
		t.Error("the floor is held all the same")
	}
}

func TestMemoryIsGivenBackWhileThereIsLittleToDo(t *testing.T) {
	t.Parallel()
	stop, tick, done := make(chan struct{}), make(chan time.Time), make(chan struct{})
	total, freed := uint64(0), 0
	next := []uint64{0, heapFloor / 2, heapFloor/2 + 100, 3 * heapFloor, 4*heapFloor - 1, 4*heapFloor - 1, 6 * heapFloor,
		6*heapFloor + 1} // what has been allocated at each look
	go func() {
		defer close(done)
		trim(stop, tick, func() uint64 { total, next = next[0], next[1:]; return total }, func() { freed++ })
	}()
	for range 7 {
		tick <- time.Time{}
	}
	close(stop)
	<-done
	// after half of the floor, after a little less than it, and when a load has ended; not when idle, nor under load
	if freed != 3 {
		t.Errorf("freed %d times, want 3", freed)
	}
}
