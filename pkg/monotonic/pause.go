// Package monotonic provides waits within a process by its monotonic clock, which cannot be set.
// With the time of day, a clock that is wrong for a moment could shift a wait by years. Start
// reading at Pause.
package monotonic

import (
	"sync/atomic"
	"time"
)

// Clock returns a clock that starts at the time of day and then follows the monotonic clock.
func Clock() func() time.Time {
	start := time.Now()
	return func() time.Time { return start.Add(time.Since(start)) }
}

// Pause is a time during which a failed operation is not tried again. The zero value is over. Its
// methods are safe for concurrent use.
type Pause struct{ until atomic.Pointer[time.Time] }

// Begin starts the pause, which lasts for d.
func (p *Pause) Begin(d time.Duration) {
	until := time.Now().Add(d)
	p.until.Store(&until)
}

// Over reports whether the pause has ended, or never began.
func (p *Pause) Over() bool {
	until := p.until.Load()
	return until == nil || !time.Now().Before(*until)
}
