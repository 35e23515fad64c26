package core

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// ReportChanges puts what a request changed on its answer, for the gateway that forwards it.
func ReportChanges(c *fiber.Ctx) error {
	ctx, changes := sessionstate.WithCollector(c.UserContext())
	c.SetUserContext(ctx)
	err := c.Next()
	if header := changes.Header(); header != "" {
		c.Set(sessionstate.ChangedHeader, header)
	}
	return err
}
