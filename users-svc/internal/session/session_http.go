package session

import (
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/field"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// Mount registers the routes of the domain.
func (s *Service) Mount(server *httpx.Server) {
	server.Post("/api/v1/users/auth/refresh", s.postRefresh)
	server.Post("/api/v1/users/auth/logout", s.postLogout)
	server.Get("/api/v1/users/me/sessions", s.getSessions)
	server.Delete("/api/v1/users/me/sessions", s.deleteOtherSessions)
	server.Delete("/api/v1/users/me/sessions/:id", s.deleteSession)
	server.Get("/api/v1/users/:id/sessions", s.getSessionsOf)
	server.Delete("/api/v1/users/:id/sessions/:sid", s.deleteSessionOf)
	server.Get(internalapi.SessionsPath+":sid", s.getState)
}

// MaxRefreshToken is the longest token, in characters, that is hashed for a lookup.
const MaxRefreshToken = 1024

func (s *Service) postRefresh(c *fiber.Ctx) error {
	body, err := httpx.Body(c)
	if err != nil {
		return err
	}
	field.Require(body, "refreshToken")
	token, _ := body.String("refreshToken", 1, MaxRefreshToken)
	if err := body.Err(); err != nil {
		return err
	}
	pair, err := s.refresh(c.UserContext(), token, fromCookie(c), request.DeviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.OK(c, "Token refreshed successfully", pair)
}

// fromCookie reports whether the refresh token of the request comes from the console's cookie.
func fromCookie(c *fiber.Ctx) bool { return c.Get(internalapi.CookieSessionHeader) == "1" }

// postLogout also serves banned users, so that they can end their sessions, and clients whose
// access token has expired: they send a refresh token.
func (s *Service) postLogout(c *fiber.Ctx) error {
	body, bodyErr := httpx.Body(c)
	var err error
	if bodyErr == nil && body.Has("refreshToken") && httpx.Caller(c).Kind == auth.Anonymous {
		token, _ := body.String("refreshToken", 1, MaxRefreshToken)
		if err = body.Err(); err == nil && fromCookie(c) {
			err = s.endByToken(c.UserContext(), token, request.DeviceOf(c, nil))
		} else if err == nil {
			err = s.logoutByToken(c.UserContext(), token, request.DeviceOf(c, nil))
		}
	} else {
		var caller auth.Identity
		if caller, err = request.Session(c); err == nil {
			_, err = s.EndAll(c.UserContext(), caller.UserID, "", history.Logout, request.DeviceOf(c, nil), nil)
		}
	}
	if err != nil {
		return err
	}
	return httpx.OK(c, "Logout successful", nil)
}

func (s *Service) getSessions(c *fiber.Ctx) error {
	caller, err := request.OwnSession(c)
	if err != nil {
		return err
	}
	list, err := s.listActive(c.UserContext(), caller.UserID, caller.SessionID)
	if err != nil {
		return err
	}
	return httpx.OK(c, "Sessions retrieved successfully", list)
}

func (s *Service) deleteOtherSessions(c *fiber.Ctx) error {
	caller, err := request.OwnSession(c)
	if err != nil {
		return err
	}
	ended, err := s.EndAll(c.UserContext(), caller.UserID, caller.SessionID, history.SessionsEnded,
		request.DeviceOf(c, nil), nil)
	if err != nil {
		return err
	}
	return httpx.OK(c, "Other sessions ended successfully", map[string]int64{"ended_count": ended})
}

func (s *Service) deleteSession(c *fiber.Ctx) error {
	caller, sessionID, err := request.OwnSessionID(c)
	if err != nil {
		return err
	}
	event := history.Event{UserID: caller.UserID, Kind: history.SessionEnded, Device: request.DeviceOf(c, nil)}
	if err := s.end(c.UserContext(), sessionID, event); err != nil {
		return err
	}
	return httpx.OK(c, "Session ended successfully", nil)
}

func (s *Service) getSessionsOf(c *fiber.Ctx) error {
	userID, err := request.TargetUser(c)
	if err != nil {
		return err
	}
	if err := core.RequireUser(c.UserContext(), s.Pool, userID); err != nil {
		return err
	}
	list, err := s.listActive(c.UserContext(), userID, httpx.Caller(c).SessionID)
	if err != nil {
		return err
	}
	request.RecordOn(c, userID)
	return httpx.OK(c, "Sessions retrieved successfully", list)
}

func (s *Service) deleteSessionOf(c *fiber.Ctx) error {
	userID, err := request.TargetUser(c)
	if err != nil {
		return err
	}
	sessionID, err := httpx.PathID(c, "sid")
	if err != nil {
		return err
	}
	if err := core.RequireUser(c.UserContext(), s.Pool, userID); err != nil {
		return err
	}
	event := history.Event{UserID: userID, Kind: history.SessionEnded, Device: request.ActorDevice(c, userID)}
	if err := s.end(c.UserContext(), sessionID, event); err != nil {
		return err
	}
	request.RecordOn(c, userID)
	return httpx.OK(c, "Session ended successfully", nil)
}

// getState answers a gateway that has no fresh copy of a session's state. It also stores a copy in
// Redis for the other gateways.
func (s *Service) getState(c *fiber.Ctx) error {
	if err := httpx.RequireSystem(c); err != nil {
		return err
	}
	sessionID := strings.Clone(c.Params("sid"))
	if !id.Valid(sessionID) {
		return httpx.JSON(c, http.StatusOK, sessionstate.State{})
	}
	state, err := s.readState(c.UserContext(), sessionID)
	if err != nil {
		return err
	}
	if state.UserID != "" {
		s.lastSeen.record(state)
		if err := s.states.Put(c.UserContext(), sessionstate.SessionKey(sessionID), state); err != nil {
			s.Log.Debug("session state was not copied to Redis", "error", err.Error())
		}
	}
	return httpx.JSON(c, http.StatusOK, state)
}
