package admin

import (
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/apitoken"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/passwords"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// passwordSet answers POST /users/{id}/password.
type passwordSet struct {
	account.User
	apitoken.RevokedTokens
}

func (s *Service) postPassword(c *fiber.Ctx) error {
	userID, body, err := request.TargetUserBody(c)
	if err != nil {
		return err
	}
	field.Require(body, "password")
	password, _ := body.Text("password")
	keepTokens := !field.RevokeTokens(body)
	if err := body.Err(); err != nil {
		return err
	}
	if err := passwords.CheckStrength(password); err != nil {
		return err
	}
	if userID == httpx.Caller(c).UserID {
		return field.PasswordRequired("Your own password is changed by PATCH /users/{id} with the current one")
	}
	user, err := account.ByID(c.UserContext(), s.Pool, userID)
	if err != nil {
		return err
	}
	updated, err := s.setPassword(c.UserContext(), user, password, httpx.Caller(c).ClientAddr, keepTokens)
	if err != nil {
		return err
	}
	request.RecordOn(c, userID)
	return httpx.OK(c, "Password set successfully",
		passwordSet{updated.User, apitoken.RevokedTokens{TokensRevoked: updated.Revoked.Tokens}})
}
