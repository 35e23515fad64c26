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

func (s *Service) listUsers(c *fiber.Ctx) error {
	if _, err := request.Admin(c); err != nil {
		return err
	}
	query := httpx.Query(c)
	filter := account.Filter{
		Search: query.Text("q", maxSearch),
		Admin:  boolFilter(query, "is_admin"), Banned: boolFilter(query, "is_banned"),
	}
	filter.Page, filter.Limit = field.PageLimit(query)
	if err := query.Err(); err != nil {
		return err
	}
	users, total, err := s.accounts.List(c.UserContext(), filter)
	if err != nil {
		return err
	}
	return httpx.Paged(c, "Users retrieved successfully", users, api.NewPage(total, filter.Page, filter.Limit))
}

// boolFilter returns the value of a query parameter, or nil when it is absent.
func boolFilter(query *input.Query, name string) *bool {
	if !query.Has(name) {
		return nil
	}
	value := query.Bool(name, false)
	return &value
}
