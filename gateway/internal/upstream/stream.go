package upstream

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// streamHeader is the room for the header of an answer that may be a stream; its body passes
// through the same buffer.
const streamHeader = 4 << 10

// maxAnswer bounds an answer that turned out to be no stream.
const maxAnswer = 256 << 10

// Stream is the body of an answer that comes for as long as the service sends it. It has a
// connection of its own, which does not count against UPSTREAM_MAX_CONNS.
type Stream struct {
	conn        net.Conn
	body        io.Reader
	idle        time.Duration // between two parts of the body
	interrupted atomic.Bool
}

// Open sends req as Send does and reads the header of the answer into resp. If isStream accepts it,
// Open returns the body, which must be closed; between two of its parts may be idle. Any other
// answer is read whole, and the stream is nil.
func (u *Upstream) Open(ctx context.Context, req *fasthttp.Request, resp *fasthttp.Response, call Call,
	idle time.Duration, isStream func(*fasthttp.ResponseHeader) bool) (*Stream, error) {
	span := u.startSpan(ctx, req, call.Route)
	var stream *Stream
	err := u.deliver(req, cmp.Or(call.Timeout, u.cfg.Timeout),
		func(r *replica, timeout time.Duration) (time.Duration, error) {
			return r.roundTrip(call.Limited, func() (err error) {
				if stream, err = u.open(r.addr, req, resp, timeout, isStream); err == nil && stream == nil &&
					resp.ConnectionClose() {
					u.avoid(r)
				}
				return err
			})
		})
	endSpan(span, resp, err)
	if stream != nil {
		stream.idle = idle
	}
	return stream, err
}

// open is Open with one address. Only a connection that could not be opened makes it sure that the
// request did not arrive.
func (u *Upstream) open(addr string, req *fasthttp.Request, resp *fasthttp.Response, timeout time.Duration,
	isStream func(*fasthttp.ResponseHeader) bool) (s *Stream, err error) {
	end := time.Now().Add(timeout)
	_, conn, err := u.connect(addr, timeout)
	if err != nil {
		return nil, err
	}
	defer func() {
		if s == nil {
			_ = conn.Close()
		}
	}()
	if err := conn.SetDeadline(end); err != nil {
		return nil, err
	}
	w := bufio.NewWriterSize(conn, streamHeader)
	if err := req.Write(w); err != nil {
		return nil, err
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(conn, streamHeader)
	if err := resp.Header.Read(r); err != nil {
		return nil, err
	}
	if !isStream(&resp.Header) {
		return nil, resp.ReadBody(r, maxAnswer)
	}
	s = &Stream{conn: conn}
	switch length := resp.Header.ContentLength(); {
	case length == -1:
		s.body = httputil.NewChunkedReader(r)
	case length >= 0:
		s.body = &exactly{r, length}
	default:
		s = nil // without a length, its end cannot be told from a broken connection
		return nil, fmt.Errorf("a stream without chunks")
	}
	return s, nil
}

// exactly reads n bytes; an earlier end is an error.
type exactly struct {
	r io.Reader
	n int
}

func (e *exactly) Read(p []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(len(p), e.n)])
	if e.n -= n; err == io.EOF && e.n > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Read reads the next part of the body; io.EOF means that it is complete.
func (s *Stream) Read(p []byte) (int, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(s.idle)); err != nil {
		return 0, err
	}
	if s.interrupted.Load() { // before or after its own deadline was set
		return 0, net.ErrClosed
	}
	return s.body.Read(p)
}

// Interrupt makes the Read under way, and every later one, fail. It may be called at any time.
func (s *Stream) Interrupt() {
	s.interrupted.Store(true)
	_ = s.conn.SetReadDeadline(time.Unix(1, 0))
}

// Close ends the connection, by which the service learns that the client has left.
func (s *Stream) Close() error { return s.conn.Close() }
