package account

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/mail"
	"github.com/realmgate/realmgate/users-svc/internal/mailaddr"
)

// MailRequestHandler returns the handler of a route that requests a mail of the kind. Its answer is
// always message, so it does not reveal whether the address has an account.
func MailRequestHandler(q core.DBTX, outbox *mail.Outbox, kind, message string) fiber.Handler {
	return func(c *fiber.Ctx) error {
		body, err := httpx.Body(c)
		if err != nil {
			return err
		}
		address := mailaddr.KnownField(body, "email")
		if err := body.Err(); err != nil {
			return err
		}
		if err := RequestMail(c.UserContext(), q, outbox, kind, address, ""); err != nil {
			return err
		}
		return httpx.OK(c, message, nil)
	}
}
