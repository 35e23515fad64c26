package passkey

import (
	"slices"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

const path = "/api/v1/users/auth/passkeys"

// Mount registers the routes of the domain.
func (s *Service) Mount(server *httpx.Server) {
	server.Post(path+"/register/begin", s.postBeginRegistration)
	server.Post(path+"/register/finish", s.postFinishRegistration)
	server.Post(path+"/login/begin", s.postBeginLogin)
	server.Post(path+"/login/finish", s.postFinishLogin)
	server.Get(path, s.getList)
	server.Patch(path+"/:id", s.patchName)
	server.Delete(path+"/:id", s.deletePasskey)
}

func (s *Service) postBeginRegistration(c *fiber.Ctx) error {
	caller, err := request.OwnSession(c)
	if err != nil {
		return err
	}
	if _, err := httpx.Body(c); err != nil {
		return err
	}
	options, err := s.beginRegistration(c.UserContext(), caller.UserID, caller.SessionID)
	if err != nil {
		return err
	}
	return httpx.OK(c, "Passkey registration started", options)
}

// readCredential reads the fields of a credential as PublicKeyCredential.toJSON() makes them.
func readCredential(body *input.Object) {
	field.Require(body, "id")
	field.Require(body, "response")
	for _, name := range []string{"rawId", "type", "clientExtensionResults", "authenticatorAttachment"} {
		body.Has(name) // known, so that the answer has no warning
	}
}

const maxName = 64 // characters

func (s *Service) postFinishRegistration(c *fiber.Ctx) error {
	caller, body, err := request.OwnSessionBody(c)
	if err != nil {
		return err
	}
	body.DropNull("name")
	readCredential(body)
	name, named := body.String("name", 1, maxName)
	if err := body.Err(); err != nil {
		return err
	}
	if !named {
		name = "Passkey"
	}
	made, err := s.finishRegistration(c.UserContext(), caller.UserID, slices.Clone(c.Body()), name,
		request.DeviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.Created(c, "Passkey registered successfully", made)
}

func (s *Service) postBeginLogin(c *fiber.Ctx) error {
	if _, err := httpx.Body(c); err != nil {
		return err
	}
	options, err := s.beginLogin(c.UserContext())
	if err != nil {
		return err
	}
	return httpx.OK(c, "Passkey login started", options)
}

func (s *Service) postFinishLogin(c *fiber.Ctx) error {
	body, err := httpx.Body(c)
	if err != nil {
		return err
	}
	body.DropNull("client")
	readCredential(body)
	client := field.Client(body)
	if err := body.Err(); err != nil {
		return err
	}
	result, err := s.finishLogin(c.UserContext(), slices.Clone(c.Body()), request.DeviceOf(c, client))
	if err != nil {
		return err
	}
	return httpx.OK(c, "Login successful", result)
}

func (s *Service) getList(c *fiber.Ctx) error {
	caller, err := request.OwnSession(c)
	if err != nil {
		return err
	}
	list, err := s.list(c.UserContext(), caller.UserID)
	if err != nil {
		return err
	}
	return httpx.OK(c, "Passkeys retrieved successfully", list)
}

func (s *Service) patchName(c *fiber.Ctx) error {
	caller, passkeyID, err := request.OwnSessionID(c)
	if err != nil {
		return err
	}
	body, err := httpx.Body(c)
	if err != nil {
		return err
	}
	field.Require(body, "name")
	name, _ := body.String("name", 1, maxName)
	if err := body.Err(); err != nil {
		return err
	}
	renamed, err := s.rename(c.UserContext(), caller.UserID, passkeyID, name)
	if err != nil {
		return err
	}
	return httpx.OK(c, "Passkey updated successfully", renamed)
}

func (s *Service) deletePasskey(c *fiber.Ctx) error {
	caller, passkeyID, err := request.OwnSessionID(c)
	if err != nil {
		return err
	}
	if err := s.remove(c.UserContext(), caller.UserID, passkeyID, request.DeviceOf(c, nil)); err != nil {
		return err
	}
	return httpx.OK(c, "Passkey deleted successfully", nil)
}
