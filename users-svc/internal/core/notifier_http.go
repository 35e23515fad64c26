package core

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// ReportChanges is middleware that collects the session state changes of a request and sets them in
// the header sessionstate.ChangedHeader of its answer, so that the gateway that forwarded the
// request drops its copies at once.
func ReportChanges(c *fiber.Ctx) error {
	ctx, changes := sessionstate.WithCollector(c.UserContext())
	c.SetUserContext(ctx)
	err := c.Next()
	if header := changes.Header(); header != "" {
		c.Set(sessionstate.ChangedHeader, header)
	}
	return err
}
