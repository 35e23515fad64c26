package history

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// Mount adds the routes of the domain to the server.
func (s *Service) Mount(server *httpx.Server) {
	server.Get("/api/v1/users/me/security-history", s.listOwn)
}

func (s *Service) listOwn(c *fiber.Ctx) error {
	caller, err := request.OwnSession(c)
	if err != nil {
		return err
	}
	return s.Answer(c, caller.UserID)
}

// Answer answers with one page of the history of a user. The query parameters of the request select
// the entries.
func (s *Service) Answer(c *fiber.Ctx, userID string) error {
	query := httpx.Query(c)
	filter := listFilter{
		UserID: userID, IncludeFailed: query.Bool("include_failed", false),
		IncludeSecurity: query.Bool("include_security", false),
	}
	filter.Page, filter.Limit = field.PageLimit(query)
	if err := query.Err(); err != nil {
		return err
	}
	list, total, err := listEntries(c.UserContext(), s.Pool, filter)
	if err != nil {
		return err
	}
	return httpx.Paged(c, "Login history retrieved successfully", list, api.NewPage(total, filter.Page, filter.Limit))
}
