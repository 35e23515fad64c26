// Package monotonic owns waiting within a process by its monotonic clock, which nobody sets: a time
// of day that was wrong for a moment would begin or end a wait by years. Start reading at Pause.
package monotonic

import (
	"sync/atomic"
	"time"
)

// Clock returns a clock that starts at the time of day and then goes on by itself.
func Clock() func() time.Time {
	start := time.Now()
	return func() time.Time { return start.Add(time.Since(start)) }
}

// Pause is a time during which something that failed is not tried again. The zero value is over.
// Its methods may be called at once.
type Pause struct{ until atomic.Pointer[time.Time] }

// Begin lets the pause last for d from now on.
func (p *Pause) Begin(d time.Duration) {
	until := time.Now().Add(d)
	p.until.Store(&until)
}

// Over reports whether the pause has ended, or never began.
func (p *Pause) Over() bool {
	until := p.until.Load()
	return until == nil || !time.Now().Before(*until)
}
