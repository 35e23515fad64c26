package vault

import (
	"net"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/vault-svc/internal/memory"
)

// quote returns a value as a JSON string that escapes only the characters that need it.
func quote(value []byte) ([]byte, error) {
	return jsontext.AppendQuote(make([]byte, 0, len(value)+len(value)/64+2), value)
}

// appendEnvelope appends the start of a success envelope. The caller appends the data and the
// closing brace. The message must need no escapes.
func appendEnvelope(b []byte, status int, message string) []byte {
	b = append(b, `{"statusCode":`...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, `,"message":"`...)
	b = append(b, message...)
	return append(b, `","data":`...)
}

// appendItem appends an item as JSON. quoted is its value; it is nil in lists, which omit values.
// Key and realm need no escapes.
func appendItem(b []byte, i Info, quoted []byte) []byte {
	b = appendItemHead(b, i)
	if quoted != nil {
		b = append(append(b, `"value":`...), quoted...)
		b = append(b, ',')
	}
	return appendItemTail(b, i)
}

func appendItemHead(b []byte, i Info) []byte {
	b = append(append(b, `{"key":"`...), i.Key...)
	b = append(append(b, `","realm_id":"`...), i.Realm...)
	return append(b, `",`...)
}

func appendItemTail(b []byte, i Info) []byte {
	b = append(b, `"metadata":`...)
	if i.Metadata == nil {
		b = append(b, "null"...)
	} else {
		b = append(b, i.Metadata...)
	}
	b = strconv.AppendInt(append(b, `,"size_bytes":`...), i.SizeBytes, 10)
	b = i.CreatedAt.UTC().AppendFormat(append(b, `,"created_at":"`...), api.TimeLayout)
	b = i.UpdatedAt.UTC().AppendFormat(append(b, `","updated_at":"`...), api.TimeLayout)
	b = strconv.AppendInt(append(b, `","version":`...), i.Number, 10)
	if i.ExpiresAt == nil {
		return append(b, `,"expires_at":null}`...)
	}
	b = i.ExpiresAt.UTC().AppendFormat(append(b, `,"expires_at":"`...), api.TimeLayout)
	return append(b, `"}`...)
}

// appendPage appends the metadata of a page.
func appendPage(b []byte, p *Page) []byte {
	b = strconv.AppendInt(append(b, `,"metadata":{"limit":`...), int64(p.Limit), 10)
	if p.Next == "" {
		return append(b, `,"next_cursor":null}`...)
	}
	return append(append(append(b, `,"next_cursor":"`...), p.Next...), `"}`...)
}

// answerItem sends an item with its value. A large value is sent from quoted without a copy.
func answerItem(c *fiber.Ctx, status int, message string, i Info, quoted []byte, reserved *memory.Reservation) error {
	end, err := envelopeEnd(httpx.Warnings(c))
	if err != nil {
		return err
	}
	head := make([]byte, 0, 512+len(i.Key)+len(i.Metadata)+len(end)+min(len(quoted), smallBody))
	head = appendEnvelope(head, status, message)
	if len(quoted) <= smallBody {
		return answer(c, status, reserved, append(appendItem(head, i, quoted), end...))
	}
	head = append(appendItemHead(head, i), `"value":`...)
	tail := append(appendItemTail([]byte{','}, i), end...)
	return answer(c, status, reserved, head, quoted, tail)
}

// envelopeEnd returns the end of a success envelope: the warnings and the closing brace.
func envelopeEnd(warnings []string) ([]byte, error) {
	if warnings == nil {
		return []byte{'}'}, nil
	}
	list, err := api.Marshal(warnings)
	return append(append([]byte(`,"warnings":`), list...), '}'), err
}

// answer sends the parts as one body. It releases reserved after they have been sent.
func answer(c *fiber.Ctx, status int, reserved *memory.Reservation, parts ...[]byte) error {
	c.Response().SetStatusCode(status)
	c.Response().Header.SetContentType(fiber.MIMEApplicationJSON)
	if len(parts) == 1 && reserved.Size() == 0 {
		c.Response().SetBodyRaw(parts[0])
		return nil
	}
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	c.Response().SetBodyStream(&heldBody{Buffers: parts, reserved: reserved}, size)
	return nil
}

// heldBody is an answer that keeps its memory reserved until it has been sent or sending has
// failed. Its parts are written to the connection without a copy.
type heldBody struct {
	net.Buffers
	reserved *memory.Reservation
}

// Close releases the memory. The server calls it when it is done with the answer.
func (b *heldBody) Close() error {
	b.Buffers = nil
	b.reserved.Release()
	return nil
}
