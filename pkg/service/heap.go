package service

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// heapFloor is what the collector takes for in use at least. Go collects when the heap has doubled,
// which for the few megabytes that a service holds is dozens of times a second under load; there is
// no setting for a smallest heap (golang/go#23044).
const heapFloor = 16 << 20

// idleCheck is how often a process looks whether it allocates so little that what its heap has
// grown to is given back to the system.
const idleCheck = 30 * time.Second

// HoldHeap keeps memory that is never touched, so that it costs address space and no RAM, until
// release is called: the heap grows to twice of it and what else is held before it is collected.
// Who sets GOGC has decided otherwise. While the process has little to do the heap's free memory is
// given back, which the runtime itself does only minutes later. It must come first in a process:
// memory that was used before would be cleared, and so be touched.
func HoldHeap() (release func()) {
	floor := Untouched(heapFloor)
	stop := make(chan struct{})
	tick := time.NewTicker(idleCheck)
	go trim(stop, tick.C, allocated, debug.FreeOSMemory)
	return sync.OnceFunc(func() {
		close(stop)
		tick.Stop()
		runtime.KeepAlive(floor)
	})
}

// Untouched returns n bytes that nobody touches while they are held: they count as heap in use,
// which makes collections rarer, and cost no RAM. None when GOGC is set.
func Untouched(n int) []byte {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	return make([]byte, n)
}

// trim calls free at a tick when less than the floor was allocated since the one before, but
// something since free was called last.
func trim(stop <-chan struct{}, tick <-chan time.Time, allocated func() uint64, free func()) {
	last := allocated()
	freed := last
	for {
		select {
		case <-stop:
			return
		case <-tick:
		}
		now := allocated()
		if now-last < heapFloor && now-freed >= heapFloor/16 {
			free()
			freed = now
		}
		last = now
	}
}

// allocated returns how many bytes the process has allocated since its start.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
