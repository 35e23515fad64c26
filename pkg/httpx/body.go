package httpx

import (
	"io"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/input"
)

// Body reads the JSON object in the request's body. It points into the body: copy what outlives the
// handler (the getters' strings are copies). A compressed body is not decompressed, because a small
// one could become a huge one: it is no JSON.
func Body(c *fiber.Ctx) (*input.Object, error) {
	o, err := input.ParseObject(c.BodyRaw())
	if err == nil {
		HasRead(c, o)
	}
	return o, err
}

// HasRead says what the body of the request is, for a handler that reads it without Body.
func HasRead(c *fiber.Ctx, o *input.Object) { knownOf(c).body = o }

// Warnings tells of each field of the body that the handler did not ask for. OK, Created and Paged
// send them along; a handler that writes its own envelope must do so itself.
func Warnings(c *fiber.Ctx) []string {
	k := knownOf(c)
	if k.body == nil {
		k.body = unreadBody(c)
	}
	return k.body.Warnings()
}

// unreadBody parses the body of a request whose handler wants none. What is no JSON object, and
// what is longer than such a body may be, is taken for an empty one.
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
