package device

import (
	"context"
	"strings"
	"unicode"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// Mount registers the routes of the domain.
func (s *Service) Mount(server *httpx.Server) {
	server.Post("/api/v1/auth/device/code", s.postCode)
	server.Post("/api/v1/auth/device/token", s.postToken)
	server.Get("/api/v1/auth/device", s.getDevice)
	server.Post("/api/v1/auth/device/approve", s.postApprove)
	server.Post("/api/v1/auth/device/deny", s.postDeny)
}

const (
	maxClientName = 64
	maxVerifier   = 1024 // a longer one than RFC 7636 allows is wrong, not malformed
	maxUserCode   = 64   // as typed
)

func (s *Service) postCode(c *fiber.Ctx) error {
	body, err := httpx.Body(c)
	if err != nil {
		return err
	}
	in := readCodeRequest(body)
	if err := body.Err(); err != nil {
		return err
	}
	codes, err := s.begin(c.UserContext(), in, request.DeviceOf(c, nil))
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderCacheControl, "no-store")
	return httpx.OK(c, "Device code issued", codes)
}

func readCodeRequest(body *input.Object) codeRequest {
	body.DropNull("client_name", "client", "code_challenge")
	in := codeRequest{ClientName: field.Optional(body.String("client_name", 1, maxClientName)),
		Client:    field.Client(body),
		Challenge: field.Optional(body.Text("code_challenge"))}
	// The name is shown to the person who decides: nothing in it may hide or move other text.
	if in.ClientName != nil && (strings.ContainsFunc(*in.ClientName, func(r rune) bool { return !unicode.IsPrint(r) }) ||
		strings.TrimSpace(*in.ClientName) == "") {
		body.Fail("client_name", "must be printable text")
	}
	if in.Challenge != nil && !challengePattern.MatchString(*in.Challenge) {
		body.Fail("code_challenge", "must be 43 characters of base64url: the S256 challenge of RFC 7636")
	}
	return in
}

func (s *Service) postToken(c *fiber.Ctx) error {
	body, err := httpx.Body(c)
	if err != nil {
		return err
	}
	body.DropNull("code_verifier")
	field.Require(body, "device_code")
	deviceCode, ok := body.Text("device_code")
	if ok && !deviceCodePattern.MatchString(deviceCode) {
		body.Fail("device_code", "must be 64 hexadecimal characters")
	}
	verifier, _ := body.String("code_verifier", 0, maxVerifier)
	if err := body.Err(); err != nil {
		return err
	}
	result, err := s.token(c.UserContext(), deviceCode, verifier, request.DeviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.OK(c, "Login successful", result)
}

func (s *Service) getDevice(c *fiber.Ctx) error {
	caller, err := request.OwnSession(c)
	if err != nil {
		return err
	}
	query := httpx.Query(c)
	userCode := query.Text("user_code", maxUserCode)
	if !query.Has("user_code") {
		query.Fail("user_code", "is required")
	}
	if err := query.Err(); err != nil {
		return err
	}
	var device waitingDevice
	err = s.limited(c.UserContext(), caller.UserID, func() (err error) {
		device, err = s.waiting(c.UserContext(), userCode)
		return err
	})
	if err != nil {
		return err
	}
	return httpx.OK(c, "Device retrieved successfully", device)
}

func (s *Service) postApprove(c *fiber.Ctx) error {
	return s.decide(c, "Device approved", func(ctx context.Context, caller auth.Identity, userCode string) error {
		return s.approve(ctx, userCode, caller.UserID, caller.SessionID, request.DeviceOf(c, nil))
	})
}

func (s *Service) postDeny(c *fiber.Ctx) error {
	return s.decide(c, "Device denied", func(ctx context.Context, _ auth.Identity, userCode string) error {
		return s.deny(ctx, userCode)
	})
}

// decide reads the user code of a request and passes it to apply.
func (s *Service) decide(c *fiber.Ctx, message string,
	apply func(ctx context.Context, caller auth.Identity, userCode string) error) error {
	caller, body, err := request.OwnSessionBody(c)
	if err != nil {
		return err
	}
	field.Require(body, "user_code")
	userCode, _ := body.String("user_code", 1, maxUserCode)
	if err := body.Err(); err != nil {
		return err
	}
	err = s.limited(c.UserContext(), caller.UserID, func() error { return apply(c.UserContext(), caller, userCode) })
	if err != nil {
		return err
	}
	return httpx.OK(c, message, nil)
}
