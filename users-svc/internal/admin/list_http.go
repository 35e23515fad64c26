package admin

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

const maxSearch = 255

func (a *Service) listUsers(c *fiber.Ctx) error {
	if _, err := request.Admin(c); err != nil {
		return err
	}
	q := httpx.Query(c)
	f := account.Filter{
		Search: q.Text("q", maxSearch), Admin: boolFilter(q, "is_admin"), Banned: boolFilter(q, "is_banned"),
	}
	f.Page, f.Limit = field.PageLimit(q)
	if err := q.Err(); err != nil {
		return err
	}
	list, total, err := a.accounts.List(c.UserContext(), f)
	if err != nil {
		return err
	}
	return httpx.Paged(c, "Users retrieved successfully", list, api.NewPage(total, f.Page, f.Limit))
}

// boolFilter returns nil when the parameter is absent.
func boolFilter(q *input.Query, name string) *bool {
	if !q.Has(name) {
		return nil
	}
	v := q.Bool(name, false)
	return &v
}
