package httpx

import (
	"net"
	"sync/atomic"
	"time"
)

// Deadlines sets a deadline of a connection only when it moves by more than a hundredth of Timeout.
// fasthttp sets two or three deadlines with every request, each of which costs a change of the
// runtime's timers, and on a busy connection they differ by microseconds. So a deadline may fire
// early by a hundredth of Timeout.
type Deadlines struct {
	Timeout     time.Duration // the shortest timeout of the connection
	read, write atomic.Int64  // Unix nanoseconds of the last deadline that was set; 0: none
}

// SetRead calls c.SetReadDeadline(t) if the deadline moves.
func (d *Deadlines) SetRead(c net.Conn, t time.Time) error {
	if !d.moves(&d.read, t) {
		return nil
	}
	return c.SetReadDeadline(t)
}

// SetWrite calls c.SetWriteDeadline(t) if the deadline moves.
func (d *Deadlines) SetWrite(c net.Conn, t time.Time) error {
	if !d.moves(&d.write, t) {
		return nil
	}
	return c.SetWriteDeadline(t)
}

// Set calls c.SetDeadline(t) if one of the deadlines moves.
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
