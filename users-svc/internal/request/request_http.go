package request

import (
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/internalapi"
)

// User returns the caller, who must be a user that is not banned.
func User(c *fiber.Ctx) (auth.Identity, error) {
	caller, err := httpx.User(c)
	if err == nil && caller.Banned {
		err = apperr.AccountBanned()
	}
	return caller, err
}

// Session returns the caller, who must be signed in by a session: an auth token may not manage
// sessions.
func Session(c *fiber.Ctx) (auth.Identity, error) {
	caller, err := httpx.User(c)
	if err == nil {
		err = caller.RequireSession()
	}
	return caller, err
}

// OwnSession returns the caller, who must be in a session and not banned.
func OwnSession(c *fiber.Ctx) (auth.Identity, error) {
	if _, err := User(c); err != nil {
		return auth.Identity{}, err
	}
	return Session(c)
}

// Admin returns the caller, who must be an admin in a session and not banned.
func Admin(c *fiber.Ctx) (auth.Identity, error) {
	if _, err := User(c); err != nil {
		return auth.Identity{}, err
	}
	return httpx.Admin(c)
}

// Permitted returns the caller, who must be a user that is not banned and has the permission.
func Permitted(c *fiber.Ctx, permission string) (auth.Identity, error) {
	caller, err := User(c)
	if err != nil {
		return caller, err
	}
	return caller, caller.Require(permission)
}

// PermittedID is permitted for a route with an id.
func PermittedID(c *fiber.Ctx, permission string) (auth.Identity, string, error) {
	caller, err := Permitted(c, permission)
	if err != nil {
		return caller, "", err
	}
	tokenID, err := httpx.PathID(c, "id")
	return caller, tokenID, err
}

// TargetUser returns the user that the path names, to an admin.
func TargetUser(c *fiber.Ctx) (string, error) {
	if _, err := Admin(c); err != nil {
		return "", err
	}
	return httpx.PathID(c, "id")
}

// RecordOn has the event of this request recorded for the user id too, when that is not the caller.
func RecordOn(c *fiber.Ctx, userID string) {
	if userID != httpx.Caller(c).UserID {
		c.Set(internalapi.OnUserHeader, userID)
	}
}

const maxUserAgent = 400

// DeviceOf describes where the request comes from; client is what the client calls itself.
func DeviceOf(c *fiber.Ctx, client *string) Device {
	agent := strings.ReplaceAll(strings.ToValidUTF8(c.Get(fiber.HeaderUserAgent), "?"), "\x00", "?")
	if r := []rune(agent); len(r) > maxUserAgent {
		agent = string(r[:maxUserAgent])
	}
	return Device{Address: httpx.Caller(c).ClientAddr, UserAgent: strings.Clone(agent), Client: client,
		SessionID: httpx.Caller(c).SessionID}
}

// ActorDevice describes where the request comes from to the user id, in whose history it will
// stand. Of another who acts on the user it says nothing: from where admins act is their own
// affair.
func ActorDevice(c *fiber.Ctx, userID string) Device {
	if userID != httpx.Caller(c).UserID {
		return Device{}
	}
	return DeviceOf(c, nil)
}
