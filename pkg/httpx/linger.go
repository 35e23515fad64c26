package httpx

import (
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
)

// When a server refuses a body half-way and closes the connection, the kernel answers the rest of
// the body with a reset, and the reset makes the client discard the refusal before reading it. So a
// refused connection lingers, as with nginx's lingering_close: it closes its side for writing, and
// discards the rest of the body for a bounded time.
const (
	lingerTime  = 5 * time.Second
	lingerBytes = 512 << 20
)

type lingerConn struct {
	net.Conn
	linger    atomic.Bool
	deadlines Deadlines
}

func (c *lingerConn) SetDeadline(t time.Time) error      { return c.deadlines.Set(c.Conn, t) }
func (c *lingerConn) SetReadDeadline(t time.Time) error  { return c.deadlines.SetRead(c.Conn, t) }
func (c *lingerConn) SetWriteDeadline(t time.Time) error { return c.deadlines.SetWrite(c.Conn, t) }

func (c *lingerConn) Close() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.linger.Load() && half.CloseWrite() == nil {
		_ = c.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
	}
	return c.Conn.Close()
}

// Linger makes the connection of c, which is closed after the answer, wait for the rest of a body
// that the handler did not read.
func Linger(c *fiber.Ctx) { lingerAfter(c) }

// lingerAfter makes the connection of c wait for the rest of a refused body.
func lingerAfter(c *fiber.Ctx) {
	if conn, ok := c.Context().Conn().(*lingerConn); ok {
		conn.linger.Store(true)
	}
}
