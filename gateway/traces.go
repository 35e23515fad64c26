package gateway

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/trace"
)

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
