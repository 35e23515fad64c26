package httpx

import (
	"bytes"
	"errors"
	"io"
	"net"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/input"
)

// Body reads the JSON object in the request's body. The object points into the body, so raw values
// must be copied if they outlive the handler; the getters' strings are copies. A compressed body is
// not decompressed, because a small one could become huge; it fails as invalid JSON.
func Body(c *fiber.Ctx) (*input.Object, error) {
	o, err := input.ParseObject(c.BodyRaw())
	if err == nil {
		HasRead(c, o)
	}
	return o, err
}

// BrokenBody returns the answer to a body whose reading failed with err: 408 REQUEST_TIMEOUT or 400
// BAD_REQUEST, nil when err is nil.
func BrokenBody(err error) error {
	if err == nil {
		return nil
	}
	if broken, ok := errors.AsType[net.Error](err); ok && broken.Timeout() {
		return requestTimeout(err)
	}
	return apperr.BadRequest(err)
}

// A body of unknown length is read into a buffer of firstRoom bytes, which grows to chunkedGrowth
// times its size whenever it is full.
const (
	firstRoom     = 8 << 10
	chunkedGrowth = 8
)

// ReadBody reads the whole body of a request whose server streams bodies. It returns nil when the
// request has none, or a method that gives it no meaning (RFC 9110, section 9.3.1), and 413
// PAYLOAD_TOO_LARGE when the body has more than limit bytes.
//
// Before ReadBody allocates size bytes, it calls reserve, whose error it returns. The body may grow
// to most bytes: with a known length, size and most are the length; a chunked body, most often much
// shorter than it may be, has most = limit and reserves again for each larger size. A reserve that
// takes the whole of most at once keeps bodies from waiting for each other.
func ReadBody(c *fiber.Ctx, limit int, reserve func(size, most int) error) ([]byte, error) {
	stream, length := c.Context().RequestBodyStream(), c.Request().Header.ContentLength()
	switch {
	case stream == nil || c.Method() == fiber.MethodGet || c.Method() == fiber.MethodHead:
		return nil, nil
	case length > limit:
		return nil, apperr.PayloadTooLarge()
	case length < 0:
		return readChunked(stream, limit, reserve)
	}
	if err := reserve(length, length); err != nil {
		return nil, err
	}
	body := make([]byte, length)
	_, err := io.ReadFull(stream, body)
	return body, BrokenBody(err)
}

func readChunked(stream io.Reader, limit int, reserve func(size, most int) error) ([]byte, error) {
	var body []byte
	for room := min(firstRoom, limit); ; room = min(chunkedGrowth*room, limit) {
		if err := reserve(room, limit); err != nil {
			return nil, err
		}
		buffer := bytes.NewBuffer(make([]byte, 0, room+1+bytes.MinRead)) // with room for ReadFrom to see the end
		buffer.Write(body)
		_, err := buffer.ReadFrom(io.LimitReader(stream, int64(room+1-buffer.Len())))
		if body = buffer.Bytes(); err != nil || len(body) <= room {
			return body, BrokenBody(err)
		}
		if room == limit {
			return nil, apperr.PayloadTooLarge()
		}
	}
}

// HasRead sets the parsed body of the request, for a handler that reads it without Body.
func HasRead(c *fiber.Ctx, o *input.Object) { knownOf(c).body = o }

// Warnings returns a warning for each field of the body that the handler did not read. OK, Created
// and Paged send the warnings; a handler that writes its own envelope must send them itself.
func Warnings(c *fiber.Ctx) []string {
	k := knownOf(c)
	if k.body == nil {
		k.body = unreadBody(c)
	}
	return k.body.Warnings()
}

// unreadBody parses the body of a request whose handler reads none. A body that is no JSON object,
// or is too long, counts as empty.
func unreadBody(c *fiber.Ctx) *input.Object {
	none := &input.Object{}
	if c.Method() == fiber.MethodGet || c.Method() == fiber.MethodHead { // a body has no meaning there
		return none
	}
	raw := []byte(nil)
	if stream := c.Context().RequestBodyStream(); stream == nil {
		raw = c.BodyRaw()
	} else if raw, _ = io.ReadAll(io.LimitReader(stream, DefaultBodyLimit+1)); len(raw) > DefaultBodyLimit {
		return none
	}
	o, err := input.ParseFields(raw)
	if err != nil {
		return none
	}
	return o
}
