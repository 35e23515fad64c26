package request

import (
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/pkg/internalapi"
)

// User returns the caller, who must be a user (by session or auth token) and not banned: else 401,
// or 403 ACCOUNT_BANNED.
func User(c *fiber.Ctx) (auth.Identity, error) {
	caller, err := httpx.User(c)
	if err == nil && caller.Banned {
		err = apperr.AccountBanned()
	}
	return caller, err
}

// Session returns the caller, who must be signed in by a session: an auth token is answered 403. It
// admits banned users, so that they can end their sessions.
func Session(c *fiber.Ctx) (auth.Identity, error) {
	caller, err := httpx.User(c)
	if err == nil {
		err = caller.RequireSession()
	}
	return caller, err
}

// OwnSession returns the caller, who must be signed in by a session and not banned.
func OwnSession(c *fiber.Ctx) (auth.Identity, error) {
	if _, err := User(c); err != nil {
		return auth.Identity{}, err
	}
	return Session(c)
}

// OwnSessionID returns the caller as OwnSession does, and the path parameter "id".
func OwnSessionID(c *fiber.Ctx) (auth.Identity, string, error) {
	caller, err := OwnSession(c)
	if err != nil {
		return caller, "", err
	}
	id, err := httpx.PathID(c, "id")
	return caller, id, err
}

// OwnSessionBody returns the caller as OwnSession does, and the body.
func OwnSessionBody(c *fiber.Ctx) (auth.Identity, *input.Object, error) {
	caller, err := OwnSession(c)
	if err != nil {
		return caller, nil, err
	}
	body, err := httpx.Body(c)
	return caller, body, err
}

// Admin returns the caller, who must be an admin, signed in by a session and not banned.
func Admin(c *fiber.Ctx) (auth.Identity, error) {
	if _, err := User(c); err != nil {
		return auth.Identity{}, err
	}
	return httpx.Admin(c)
}

// Permitted returns the caller, who must be a user, not banned, and have the permission (a name of
// package auth): else 403 INSUFFICIENT_PERMISSIONS.
func Permitted(c *fiber.Ctx, permission string) (auth.Identity, error) {
	caller, err := User(c)
	if err != nil {
		return caller, err
	}
	return caller, caller.Require(permission)
}

// PermittedID returns the caller as Permitted does, and the path parameter "id".
func PermittedID(c *fiber.Ctx, permission string) (auth.Identity, string, error) {
	caller, err := Permitted(c, permission)
	if err != nil {
		return caller, "", err
	}
	tokenID, err := httpx.PathID(c, "id")
	return caller, tokenID, err
}

// TargetUser returns the path parameter "id", the user on whom the caller acts. The caller must be
// an admin, as for Admin.
func TargetUser(c *fiber.Ctx) (string, error) {
	if _, err := Admin(c); err != nil {
		return "", err
	}
	return httpx.PathID(c, "id")
}

// TargetUserBody returns the user as TargetUser does, and the body.
func TargetUserBody(c *fiber.Ctx) (string, *input.Object, error) {
	userID, err := TargetUser(c)
	if err != nil {
		return "", nil, err
	}
	body, err := httpx.Body(c)
	return userID, body, err
}

// RecordOn asks the gateway to record the event of this request for the user as well as for the
// caller. It does nothing when both are the same.
func RecordOn(c *fiber.Ctx, userID string) {
	if userID != httpx.Caller(c).UserID {
		c.Set(internalapi.OnUserHeader, userID)
	}
}

// maxUserAgent is the most characters of a User-Agent header that are kept.
const maxUserAgent = 400

// DeviceOf returns the device that sent the request; client is the name that the client gave
// itself, nil for none.
func DeviceOf(c *fiber.Ctx, client *string) Device {
	agent := strings.ReplaceAll(strings.ToValidUTF8(c.Get(fiber.HeaderUserAgent), "?"), "\x00", "?")
	if r := []rune(agent); len(r) > maxUserAgent {
		agent = string(r[:maxUserAgent])
	}
	return Device{Address: httpx.Caller(c).ClientAddr, UserAgent: strings.Clone(agent), Client: client,
		SessionID: httpx.Caller(c).SessionID}
}

// ActorDevice returns the device for an entry in the security history of the user. It is empty when
// the caller is another user: the history does not reveal the devices of admins.
func ActorDevice(c *fiber.Ctx, userID string) Device {
	if userID != httpx.Caller(c).UserID {
		return Device{}
	}
	return DeviceOf(c, nil)
}
