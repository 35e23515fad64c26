package httpx

import (
	"net"
	"sync/atomic"
	"time"
)

// Deadlines moves the deadlines of a connection only when that makes a difference. fasthttp sets
// two or three of them with every request, each of which takes the runtime's timers; on a busy
// connection they differ by microseconds. A deadline that was set may fire early, by a hundredth of
// the Timeout that it bounds.
type Deadlines struct {
	Timeout     time.Duration // the shortest that deadlines are made of
	read, write atomic.Int64  // Unix nanoseconds of the last that was set; 0: none
}

// SetRead is c.SetReadDeadline(t).
func (d *Deadlines) SetRead(c net.Conn, t time.Time) error {
	if !d.moves(&d.read, t) {
		return nil
	}
	return c.SetReadDeadline(t)
}

// SetWrite is c.SetWriteDeadline(t).
func (d *Deadlines) SetWrite(c net.Conn, t time.Time) error {
	if !d.moves(&d.write, t) {
		return nil
	}
	return c.SetWriteDeadline(t)
}

// Set is c.SetDeadline(t).
func (d *Deadlines) Set(c net.Conn, t time.Time) error {
	read, write := d.moves(&d.read, t), d.moves(&d.write, t)
	if !read && !write {
		return nil
	}
	return c.SetDeadline(t)
}

func (d *Deadlines) moves(last *atomic.Int64, t time.Time) bool {
	if t.IsZero() {
		last.Store(0)
		return true
	}
	at, before := t.UnixNano(), last.Load()
	if before != 0 && at >= before && at-before < int64(d.Timeout/100) {
		return false
	}
	last.Store(at)
	return true
}
