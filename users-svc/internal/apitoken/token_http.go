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

func (d *Service) Mount(app *httpx.Server) {
	app.Get("/api/v1/auth/tokens", d.getTokens)
	app.Post("/api/v1/auth/tokens", d.postToken)
	app.Get("/api/v1/auth/tokens/templates", d.getTemplates)
	app.Get("/api/v1/auth/tokens/me", d.getCurrent)
	app.Get("/api/v1/auth/tokens/:id", d.getToken)
	app.Put("/api/v1/auth/tokens/:id", d.patchToken)
	app.Patch("/api/v1/auth/tokens/:id", d.patchToken)
	app.Delete("/api/v1/auth/tokens/:id", d.deleteToken)
	app.Post("/api/v1/auth/tokens/:id/copy", d.postCopy)
	app.Post("/api/v1/auth/tokens/:id/add-realm", d.postAddRealm)
	app.Post("/api/v1/auth/tokens/:id/remove-realm", d.postRemoveRealm)
	d.mountRevocation(app)
	app.Get(internalapi.TokensPath+":hash", d.getState)
	app.Post(internalapi.TokensPath+":id"+internalapi.TokenUsedSuffix, d.postUsed)
	app.Get(internalapi.RealmsPath, d.getRealms)
}

func (d *Service) getTokens(c *fiber.Ctx) error {
	caller, err := request.Permitted(c, auth.PermReadTokens)
	if err != nil {
		return err
	}
	list, err := d.list(c.UserContext(), caller)
	if err != nil {
		return err
	}
	return httpx.OK(c, "Auth tokens retrieved successfully", list)
}

func (d *Service) getToken(c *fiber.Ctx) error {
	caller, tokenID, err := request.PermittedID(c, auth.PermReadTokens)
	if err != nil {
		return err
	}
	t, err := d.get(c.UserContext(), caller, tokenID)
	if err != nil {
		return err
	}
	return httpx.OK(c, "Auth token retrieved successfully", t)
}

func (d *Service) getTemplates(c *fiber.Ctx) error {
	if _, err := request.User(c); err != nil {
		return err
	}
	return httpx.OK(c, "Token templates retrieved successfully", permission.Templates())
}

func (d *Service) getCurrent(c *fiber.Ctx) error {
	caller, err := request.User(c)
	if err != nil {
		return err
	}
	if caller.Kind != auth.Token {
		return apperr.New(apperr.Forbidden, "INSUFFICIENT_PERMISSIONS", "This endpoint requires auth token authentication")
	}
	realm, err := httpx.RealmID(c)
	if err != nil {
		return err
	}
	current, err := d.current(c.UserContext(), caller, realm)
	if err != nil {
		return err
	}
	return httpx.OK(c, "Auth token retrieved successfully", current)
}

// createdToken is a token with its secret, in the one answer that shows the secret.
type createdToken struct {
	Token
	Secret string `json:"token"`
}

// fields reads the named fields of the body.
func (d *Service) fields(c *fiber.Ctx, names ...string) (*patch, error) {
	body, err := httpx.Body(c)
	if err != nil {
		return nil, err
	}
	return readTokenFields(body, d.Now(), names...)
}

func (d *Service) postToken(c *fiber.Ctx) error {
	caller, err := request.Permitted(c, auth.PermCreateTokens)
	if err != nil {
		return err
	}
	f, err := d.fields(c, "alias", "public_key", "public_storage", "ip_whitelist", "realm_ids", "allow_no_realm",
		"permissions",
		"permission_template", "vault_access", "event_access", "expires_at")
	if err != nil {
		return err
	}
	t, secret, err := d.create(c.UserContext(), caller, f, request.DeviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.Created(c, "Auth token created successfully", createdToken{t, secret})
}

func (d *Service) postCopy(c *fiber.Ctx) error {
	caller, tokenID, err := request.PermittedID(c, auth.PermCreateTokens)
	if err != nil {
		return err
	}
	f, err := d.fields(c, "alias", "expires_at")
	if err != nil {
		return err
	}
	t, secret, err := d.duplicate(c.UserContext(), caller, tokenID, f, request.DeviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.Created(c, "Auth token copied successfully", createdToken{t, secret})
}

func (d *Service) patchToken(c *fiber.Ctx) error {
	caller, tokenID, err := request.PermittedID(c, auth.PermCreateTokens)
	if err != nil {
		return err
	}
	f, err := d.fields(c, "alias", "public_key", "public_storage", "ip_whitelist", "realm_ids", "allow_no_realm",
		"permissions",
		"permission_template", "vault_access", "event_access", "expires_at", "is_enabled")
	if err != nil {
		return err
	}
	t, err := d.update(c.UserContext(), caller, tokenID, f, request.DeviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.OK(c, "Auth token updated successfully", t)
}

func (d *Service) deleteToken(c *fiber.Ctx) error {
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
	if err := d.remove(c.UserContext(), caller, tokenID); err != nil {
		return err
	}
	return httpx.OK(c, "Auth token deleted successfully", nil)
}

func (d *Service) postAddRealm(c *fiber.Ctx) error { return d.editRealm(c, d.addRealm) }

func (d *Service) postRemoveRealm(c *fiber.Ctx) error { return d.editRealm(c, d.removeRealm) }

func (d *Service) editRealm(c *fiber.Ctx, edit realmEdit) error {
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
	f, err := readTokenFields(body, d.Now(), "realm_id")
	if err != nil {
		return err
	}
	if realm = strings.ToLower(realm); !id.Valid(realm) {
		return errRealmFormat()
	}
	t, err := edit(c.UserContext(), caller, tokenID, realm, f.proof, request.DeviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.OK(c, "Auth token updated successfully", t)
}

func (d *Service) getState(c *fiber.Ctx) error {
	if err := httpx.RequireSystem(c); err != nil {
		return err
	}
	text := utils.CopyString(c.Params("hash"))
	hash, err := hex.DecodeString(text)
	if err != nil {
		return httpx.JSON(c, fiber.StatusOK, sessionstate.State{})
	}
	s, err := d.state(c.UserContext(), hash)
	if err != nil {
		return err
	}
	if s.UserID != "" {
		// The copy only saves the gateways from asking again, and Redis may be away.
		_ = d.states.Put(c.UserContext(), sessionstate.TokenKey(text), s)
	}
	return httpx.JSON(c, fiber.StatusOK, s)
}

func (d *Service) postUsed(c *fiber.Ctx) error {
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
	if err := recordUse(c.UserContext(), d.Pool, tokenID, address, d.Now()); err != nil {
		return err
	}
	return httpx.JSON(c, fiber.StatusOK, struct{}{})
}

func (d *Service) getRealms(c *fiber.Ctx) error {
	userID, err := httpx.SystemUserID(c)
	if err != nil {
		return err
	}
	realms, err := tokenRealms(c.UserContext(), d.Pool, userID)
	if err != nil {
		return err
	}
	return httpx.JSON(c, fiber.StatusOK, internalapi.RealmList{Realms: realms})
}
