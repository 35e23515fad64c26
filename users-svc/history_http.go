package users

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/httpx"
)

// history is the domain of what happened to an account.
type history struct{ *core }

func newHistory(c *core) *history { return &history{c} }

func (h *history) mount(s *httpx.Server) {
	s.Get("/api/v1/users/me/security-history", h.own)
}

func (h *history) own(c *fiber.Ctx) error {
	caller, err := ownSessions(c)
	if err != nil {
		return err
	}
	return h.answer(c, caller.UserID)
}

func (h *history) answer(c *fiber.Ctx, userID string) error {
	q := httpx.Query(c)
	f := historyFilter{
		UserID: userID, IncludeFailed: q.Bool("include_failed", false), IncludeSecurity: q.Bool("include_security", false),
	}
	f.Page, f.Limit = pageAndLimit(q)
	if err := q.Err(); err != nil {
		return err
	}
	list, total, err := listHistory(c.UserContext(), h.pool, f)
	if err != nil {
		return err
	}
	return httpx.Paged(c, "Login history retrieved successfully", list, api.NewPage(total, f.Page, f.Limit))
}
