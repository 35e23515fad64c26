package httpx

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// StreamWriter writes the body of a streamed answer through a buffer. Each Flush sends one chunk
// and waits until the client's side has room for it: that is how a slow client slows its producer
// down. Only the function of the stream may use it.
type StreamWriter struct {
	conn    net.Conn
	chunked bool // otherwise the end of the connection ends the body (HTTP/1.0)
	cancel  context.CancelCauseFunc
	header  []byte // of the answer, until it is sent
	buf     []byte // room for the size of the chunk, its data, and room for its end
	size    int    // of the data so far
	sent    int64  // bytes of the body
	total   prometheus.Counter
	unsent  []byte // the rest of a write that timed out
	err     error  // of the connection
	ended   bool   // the last chunk was sent

	mu      sync.Mutex // guards the deadline
	timeout time.Duration
	hurried bool
}

// sizeRoom is the room for the size of a chunk in hexadecimal and its line end; endRoom for the
// line end after the data and the last chunk.
const (
	sizeRoom = 8
	endRoom  = 2 + len(lastChunk)
)

const lastChunk = "0\r\n\r\n"

func newStreamWriter(conn net.Conn, header []byte, size int, chunked bool, timeout time.Duration,
	cancel context.CancelCauseFunc) *StreamWriter {
	return &StreamWriter{conn: conn, chunked: chunked, timeout: timeout, cancel: cancel,
		header: append([]byte(nil), header...), buf: make([]byte, sizeRoom+size+endRoom)}
}

// Write adds p to the buffer, and flushes when it is full.
func (w *StreamWriter) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		if w.err != nil {
			return total - len(p), w.err
		}
		n := copy(w.buf[sizeRoom+w.size:len(w.buf)-endRoom], p)
		w.size, p = w.size+n, p[n:]
		if len(p) > 0 {
			_ = w.Flush() // the error stays in w.err
		}
	}
	return total, w.err
}

// End ends the stream for a reason that only its caller knows: the context of the function ends.
// Unlike the other methods it may be called at any time by any goroutine.
func (w *StreamWriter) End(reason EndReason) { w.cancel(reason) }

// Flush sends what is buffered, and the header of the answer before the first chunk. The error is
// an EndReason: the client has left, or does not read.
func (w *StreamWriter) Flush() error { return w.flush("") }

// finish flushes and ends the body. It may be called again.
func (w *StreamWriter) finish() error {
	switch {
	case w.ended:
		return w.err
	case !w.chunked:
		return w.flush("")
	}
	w.ended = true
	return w.flush(lastChunk)
}

func (w *StreamWriter) flush(end string) error {
	if w.err != nil {
		return w.err
	}
	p := w.buf[sizeRoom : sizeRoom+w.size]
	if w.chunked && w.size > 0 {
		line := append(strconv.AppendInt(make([]byte, 0, sizeRoom), int64(w.size), 16), "\r\n"...)
		start := sizeRoom - len(line)
		copy(w.buf[start:], line)
		p = append(w.buf[start:sizeRoom+w.size], "\r\n"...)
	}
	p = append(p, end...) // endRoom has the room for both
	if w.header != nil {
		p = append(w.header, p...)
		w.header = nil
	}
	w.sent += int64(w.size)
	w.total.Add(float64(w.size))
	w.size = 0
	return w.send(p)
}

// send writes p to the connection.
func (w *StreamWriter) send(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	w.mu.Lock()
	_ = w.conn.SetWriteDeadline(time.Now().Add(w.timeout)) // a closed connection fails in Write
	w.mu.Unlock()
	n, err := w.conn.Write(p)
	if err == nil {
		return nil
	}
	reason := EndClient
	if broken, ok := errors.AsType[net.Error](err); ok && broken.Timeout() {
		reason = EndSlow
		w.unsent = append([]byte(nil), p[n:]...)
	}
	w.err = reason
	w.cancel(reason)
	return reason
}

// revive lets the stream write once more after a write that timed out: the rest of that one, and
// what follows. A client that reads again at the last moment learns why its stream ends. On a TLS
// connection every later write fails.
func (w *StreamWriter) revive() bool {
	if w.err == nil {
		return true
	}
	if !errors.Is(w.err, EndSlow) {
		return false
	}
	w.hurry()
	w.err = nil
	rest := w.unsent
	w.unsent = nil
	return w.send(rest) == nil
}

// hurry bounds the write under way and the later ones by endTimeout, because the stream ends.
func (w *StreamWriter) hurry() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.hurried {
		w.hurried = true
		w.timeout = min(w.timeout, endTimeout)
		_ = w.conn.SetWriteDeadline(time.Now().Add(w.timeout))
	}
}

// reset makes the end of the connection an error for the client, which without chunks could take a
// truncated body for a complete one.
func (w *StreamWriter) reset() {
	if tcp, ok := w.conn.(interface{ SetLinger(int) error }); ok {
		_ = tcp.SetLinger(0)
	}
}
