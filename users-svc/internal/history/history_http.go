package history

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// Service is the domain of what happened to an account.
type Service struct{ *core.Core }

func New(c *core.Core) *Service { return &Service{c} }

func (h *Service) Mount(s *httpx.Server) {
	s.Get("/api/v1/users/me/security-history", h.listOwn)
}

func (h *Service) listOwn(c *fiber.Ctx) error {
	caller, err := request.OwnSession(c)
	if err != nil {
		return err
	}
	return h.Answer(c, caller.UserID)
}

func (h *Service) Answer(c *fiber.Ctx, userID string) error {
	q := httpx.Query(c)
	f := filter{
		UserID: userID, IncludeFailed: q.Bool("include_failed", false), IncludeSecurity: q.Bool("include_security", false),
	}
	f.Page, f.Limit = field.PageLimit(q)
	if err := q.Err(); err != nil {
		return err
	}
	list, total, err := listEntries(c.UserContext(), h.Pool, f)
	if err != nil {
		return err
	}
	return httpx.Paged(c, "Login history retrieved successfully", list, api.NewPage(total, f.Page, f.Limit))
}
