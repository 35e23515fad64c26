package service

import (
	"os"
	"runtime"
)

// heapFloor is what the collector takes for in use at least. Go collects when the heap has doubled, which for the few megabytes that a service holds is
// dozens of times a second under load; there is no setting for a smallest heap (golang/go#23044).
const heapFloor = 32 << 20

// HoldHeap keeps memory that is never touched, so that it costs address space and no RAM, until release is called: the heap grows to twice of it and
// what else is held before it is collected. It must come first in a process: memory that was used before would be cleared, and so be touched.
// Who sets GOGC has decided otherwise.
func HoldHeap() (release func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	floor := make([]byte, heapFloor)
	return func() { runtime.KeepAlive(floor) }
}
