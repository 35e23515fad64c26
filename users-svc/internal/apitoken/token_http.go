package apitoken

import (
	"encoding/hex"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/utils"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/permission"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// Mount adds the routes of the domain to the server.
func (s *Service) Mount(server *httpx.Server) {
	server.Get("/api/v1/auth/tokens", s.getTokens)
	server.Post("/api/v1/auth/tokens", s.postToken)
	server.Get("/api/v1/auth/tokens/templates", s.getTemplates)
	server.Get("/api/v1/auth/tokens/me", s.getCurrent)
	server.Get("/api/v1/auth/tokens/:id", s.getToken)
	server.Put("/api/v1/auth/tokens/:id", s.patchToken)
	server.Patch("/api/v1/auth/tokens/:id", s.patchToken)
	server.Delete("/api/v1/auth/tokens/:id", s.deleteToken)
	server.Post("/api/v1/auth/tokens/:id/copy", s.postCopy)
	server.Post("/api/v1/auth/tokens/:id/add-realm", s.postAddRealm)
	server.Post("/api/v1/auth/tokens/:id/remove-realm", s.postRemoveRealm)
	s.mountRevocation(server)
	server.Get(internalapi.TokensPath+":hash", s.getState)
	server.Post(internalapi.TokensPath+":id"+internalapi.TokenUsedSuffix, s.postUsed)
	server.Get(internalapi.RealmsPath, s.getRealms)
}

func (s *Service) getTokens(c *fiber.Ctx) error {
	caller, err := request.Permitted(c, auth.PermReadTokens)
	if err != nil {
		return err
	}
	list, err := s.list(c.UserContext(), caller)
	if err != nil {
		return err
	}
	return httpx.OK(c, "Auth tokens retrieved successfully", list)
}

func (s *Service) getToken(c *fiber.Ctx) error {
	caller, tokenID, err := request.PermittedID(c, auth.PermReadTokens)
	if err != nil {
		return err
	}
	token, err := s.get(c.UserContext(), caller, tokenID)
	if err != nil {
		return err
	}
	return httpx.OK(c, "Auth token retrieved successfully", token)
}

func (s *Service) getTemplates(c *fiber.Ctx) error {
	if _, err := request.User(c); err != nil {
		return err
	}
	return httpx.OK(c, "Token templates retrieved successfully", permission.Templates())
}

func (s *Service) getCurrent(c *fiber.Ctx) error {
	caller, err := request.User(c)
	if err != nil {
		return err
	}
	if caller.Kind != auth.Token {
		return apperr.New(apperr.Forbidden, "INSUFFICIENT_PERMISSIONS",
			"This endpoint requires auth token authentication")
	}
	realm, err := httpx.RealmID(c)
	if err != nil {
		return err
	}
	current, err := s.current(c.UserContext(), caller, realm)
	if err != nil {
		return err
	}
	return httpx.OK(c, "Auth token retrieved successfully", current)
}

// createdToken is the answer that creates a token: the only one with its secret.
type createdToken struct {
	Token
	Secret string `json:"token"`
}

// fields reads the named and the common fields of the body.
func (s *Service) fields(c *fiber.Ctx, names ...string) (*tokenPatch, error) {
	body, err := httpx.Body(c)
	if err != nil {
		return nil, err
	}
	return readFields(body, s.Now(), names...)
}

func (s *Service) postToken(c *fiber.Ctx) error {
	caller, err := request.Permitted(c, auth.PermCreateTokens)
	if err != nil {
		return err
	}
	patch, err := s.fields(c, "alias", "public_key", "public_storage", "ip_whitelist", "realm_ids", "allow_no_realm",
		"permissions", "permission_template", "vault_access", "vault_read_only", "vault_prefixes", "event_access",
		"expires_at")
	if err != nil {
		return err
	}
	token, secret, err := s.create(c.UserContext(), caller, patch, request.DeviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.Created(c, "Auth token created successfully", createdToken{token, secret})
}

func (s *Service) postCopy(c *fiber.Ctx) error {
	caller, tokenID, err := request.PermittedID(c, auth.PermCreateTokens)
	if err != nil {
		return err
	}
	patch, err := s.fields(c, "alias", "expires_at")
	if err != nil {
		return err
	}
	token, secret, err := s.duplicate(c.UserContext(), caller, tokenID, patch, request.DeviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.Created(c, "Auth token copied successfully", createdToken{token, secret})
}

func (s *Service) patchToken(c *fiber.Ctx) error {
	caller, tokenID, err := request.PermittedID(c, auth.PermCreateTokens)
	if err != nil {
		return err
	}
	patch, err := s.fields(c, "alias", "public_key", "public_storage", "ip_whitelist", "realm_ids", "allow_no_realm",
		"permissions", "permission_template", "vault_access", "vault_read_only", "vault_prefixes", "event_access",
		"expires_at", "is_enabled")
	if err != nil {
		return err
	}
	token, err := s.update(c.UserContext(), caller, tokenID, patch, request.DeviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.OK(c, "Auth token updated successfully", token)
}

func (s *Service) deleteToken(c *fiber.Ctx) error {
	caller, err := request.User(c)
	if err != nil {
		return err
	}
	tokenID, err := httpx.PathID(c, "id")
	if err != nil {
		return err
	}
	if tokenID != caller.TokenID {
		if err := caller.Require(auth.PermCreateTokens); err != nil {
			return err
		}
	}
	if err := s.remove(c.UserContext(), caller, tokenID); err != nil {
		return err
	}
	return httpx.OK(c, "Auth token deleted successfully", nil)
}

func (s *Service) postAddRealm(c *fiber.Ctx) error { return s.editRealm(c, s.addRealm) }

func (s *Service) postRemoveRealm(c *fiber.Ctx) error { return s.editRealm(c, s.removeRealm) }

func (s *Service) editRealm(c *fiber.Ctx, edit realmEdit) error {
	caller, tokenID, err := request.PermittedID(c, auth.PermCreateTokens)
	if err != nil {
		return err
	}
	body, err := httpx.Body(c)
	if err != nil {
		return err
	}
	field.Require(body, "realm_id")
	realm, _ := body.Text("realm_id")
	patch, err := readFields(body, s.Now(), "realm_id")
	if err != nil {
		return err
	}
	if realm = strings.ToLower(realm); !id.Valid(realm) {
		return errRealmFormat()
	}
	token, err := edit(c.UserContext(), caller, tokenID, realm, patch.proof, request.DeviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.OK(c, "Auth token updated successfully", token)
}

func (s *Service) getState(c *fiber.Ctx) error {
	if err := httpx.RequireSystem(c); err != nil {
		return err
	}
	hexHash := utils.CopyString(c.Params("hash"))
	hash, err := hex.DecodeString(hexHash)
	if err != nil {
		return httpx.JSON(c, fiber.StatusOK, sessionstate.State{})
	}
	state, err := s.state(c.UserContext(), hash)
	if err != nil {
		return err
	}
	if state.UserID != "" {
		// An error is ignored: the copy in Redis only saves requests of the gateways.
		_ = s.states.Put(c.UserContext(), sessionstate.TokenKey(hexHash), state)
	}
	return httpx.JSON(c, fiber.StatusOK, state)
}

func (s *Service) postUsed(c *fiber.Ctx) error {
	if err := httpx.RequireSystem(c); err != nil {
		return err
	}
	tokenID, err := httpx.PathID(c, "id")
	if err != nil {
		return err
	}
	body, err := httpx.Body(c)
	if err != nil {
		return err
	}
	address, _ := body.String("ip", 0, 64)
	if err := body.Err(); err != nil {
		return err
	}
	if err := recordUse(c.UserContext(), s.Pool, tokenID, address, s.Now()); err != nil {
		return err
	}
	return httpx.JSON(c, fiber.StatusOK, struct{}{})
}

func (s *Service) getRealms(c *fiber.Ctx) error {
	userID, err := httpx.SystemUserID(c)
	if err != nil {
		return err
	}
	realms, err := tokenRealms(c.UserContext(), s.Pool, userID)
	if err != nil {
		return err
	}
	return httpx.JSON(c, fiber.StatusOK, internalapi.RealmList{Realms: realms})
}
