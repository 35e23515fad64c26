package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/utils"
	"github.com/valyala/fasthttp"

	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/pkg/trace"
)

// maxMethod bounds the method of an event. No method in use is longer.
const maxMethod = 16

// record writes the event of an answered request into the journal. It returns when the event would
// survive the end of the process. A request without a user has no event.
func (g *gateway) record(c *fiber.Ctx, ex *exchange, status int) error {
	if ex.principal == nil || ex.recorded {
		return nil
	}
	ex.recorded = true
	e := g.requestEvent(c, ex, status)
	if ex.operations == nil {
		return g.journal.Append(e)
	}
	events := make([]event.Request, 0, len(ex.operations)+1)
	for _, o := range ex.operations {
		one := e
		one.ID, one.Method, one.Path, one.Status = g.eventIDs.New(g.now()), o.Method, o.Path, o.Status
		events = append(events, one)
	}
	e.ID = g.eventIDs.New(g.now()) // after its operations
	return g.journal.Append(append(events, e)...)
}

// takeOperations removes the list of operations from the start of the answer's body.
func (ex *exchange) takeOperations(resp *fasthttp.Response) error {
	n, err := strconv.Atoi(string(resp.Header.Peek(internalapi.OperationsHeader)))
	if err != nil || n < 0 || n > internalapi.MaxOperations {
		return fmt.Errorf("%s: %q", internalapi.OperationsHeader, resp.Header.Peek(internalapi.OperationsHeader))
	}
	list := make([]byte, n)
	if stream := resp.BodyStream(); stream != nil {
		if _, err := io.ReadFull(stream, list); err != nil {
			return err
		}
		if length := resp.Header.ContentLength(); length >= n {
			resp.Header.SetContentLength(length - n)
		}
	} else {
		if copy(list, resp.Body()) < n {
			return io.ErrUnexpectedEOF
		}
		resp.SetBody(resp.Body()[n:])
	}
	return json.Unmarshal(list, &ex.operations)
}

// requestEvent returns the event of a request that is answered now. Its texts point into the
// request.
func (g *gateway) requestEvent(c *fiber.Ctx, ex *exchange, status int) event.Request {
	if ex.principal == nil {
		return event.Request{}
	}
	e := event.Request{
		ID: g.eventIDs.New(g.now()), UserID: ex.principal.State().UserID, RealmID: ex.realm,
		Method: text(c.Request().Header.Method(), maxMethod),
		Path:   text(ex.path, event.MaxPath), Status: status, IPAddress: ex.principal.AddrText(ex.clientAddr),
		UserAgent: text(c.Request().Header.UserAgent(), event.MaxUserAgent), OnUserID: ex.targetUserID,
		RequestID: httpx.RequestID(c), DurationMS: durationMS(ex), Traceparent: g.traceparent(c),
	}
	if token := ex.token(); token != nil {
		e.Auth, e.AuthID = event.AuthToken, token.ID
	} else {
		e.Auth, e.AuthID = event.AuthSession, ex.principal.State().SessionID
	}
	return e
}

// durationMS returns how long the request has taken since its header was read, in whole
// milliseconds.
func durationMS(ex *exchange) int64 {
	return min(max(0, time.Since(ex.start).Milliseconds()), event.MaxDurationMS)
}

// text returns bytes of a request as valid UTF-8 of at most max bytes, cut between characters. It
// may point into memory that is reused after the request: the journal copies it before Append
// returns.
func text(b []byte, max int) string {
	s := utils.UnsafeString(b)
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	if len(s) <= max {
		return s
	}
	cut := max
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut]
}

// traceparent returns the span of the request for its event, "" when it is not kept.
func (g *gateway) traceparent(c *fiber.Ctx) string {
	if g.traces == nil {
		return ""
	}
	if span := trace.Current(c.UserContext()); span.Kept() {
		return span.Traceparent()
	}
	return ""
}
