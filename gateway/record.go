package gateway

import (
	"strings"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/utils"

	"github.com/realmgate/realmgate/pkg/event"
)

// maxMethod bounds the method of an event; longer ones are no method that any client means.
const maxMethod = 16

// record writes the event of an answered request into the journal; it returns when the event would
// survive the end of this process. A request that nobody can be made answerable for has no event.
func (g *gateway) record(c *fiber.Ctx, cl *call, status int) error {
	if cl.who == nil || cl.recorded {
		return nil
	}
	cl.recorded = true
	e := event.Request{
		ID: g.events.New(g.now()), UserID: cl.who.state.UserID, RealmID: cl.realm,
		Method: text(c.Request().Header.Method(), maxMethod),
		Path:   text(cl.path, event.MaxPath), Status: status, IPAddress: cl.who.addrText(cl.addr),
		UserAgent: text(c.Request().Header.UserAgent(), event.MaxUserAgent), OnUserID: cl.onUser,
		Traceparent: g.traceparent(c),
	}
	return g.journal.Append(e)
}

// text returns what a client sent as valid UTF-8 of at most max bytes, cut between characters. It
// may stand in memory that is used again after the request: the journal copies it before append
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
