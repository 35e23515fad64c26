package users

import (
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

func (s *sessions) mount(server *httpx.Server) {
	server.Post("/api/v1/users/auth/refresh", s.postRefresh)
	server.Post("/api/v1/users/auth/logout", s.postLogout)
	server.Get("/api/v1/users/me/sessions", s.list)
	server.Delete("/api/v1/users/me/sessions", s.deleteOthers)
	server.Delete("/api/v1/users/me/sessions/:id", s.deleteOne)
	server.Get(internalapi.SessionsPath+":sid", s.state)
}

// maxRefreshToken bounds what is hashed to look for it.
const maxRefreshToken = 1024

func (s *sessions) postRefresh(c *fiber.Ctx) error {
	o, err := httpx.Body(c)
	if err != nil {
		return err
	}
	if !o.Has("refreshToken") {
		o.Fail("refreshToken", "is required")
	}
	token, _ := o.String("refreshToken", 1, maxRefreshToken)
	if err := o.Err(); err != nil {
		return err
	}
	pair, err := s.refresh(c.UserContext(), token, deviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.OK(c, "Token refreshed successfully", pair)
}

// postLogout is open to banned users too.
func (s *sessions) postLogout(c *fiber.Ctx) error {
	caller, err := inSession(c)
	if err != nil {
		return err
	}
	if _, err := s.endAll(c.UserContext(), caller.UserID, "", eventLogout, deviceOf(c, nil)); err != nil {
		return err
	}
	return httpx.OK(c, "Logout successful", nil)
}

func (s *sessions) list(c *fiber.Ctx) error {
	caller, err := ownSessions(c)
	if err != nil {
		return err
	}
	list, err := s.live(c.UserContext(), caller.UserID, caller.SessionID)
	if err != nil {
		return err
	}
	return httpx.OK(c, "Sessions retrieved successfully", list)
}

func (s *sessions) deleteOthers(c *fiber.Ctx) error {
	caller, err := ownSessions(c)
	if err != nil {
		return err
	}
	ended, err := s.endAll(c.UserContext(), caller.UserID, caller.SessionID, eventSessionsEnded, deviceOf(c, nil))
	if err != nil {
		return err
	}
	return httpx.OK(c, "Other sessions ended successfully", map[string]int64{"ended_count": ended})
}

func (s *sessions) deleteOne(c *fiber.Ctx) error {
	caller, err := ownSessions(c)
	if err != nil {
		return err
	}
	sessionID, err := httpx.PathID(c, "id")
	if err != nil {
		return err
	}
	if err := s.endOne(c.UserContext(), sessionID,
		happening{UserID: caller.UserID, Event: eventSessionEnded, Device: deviceOf(c, nil)}); err != nil {
		return err
	}
	return httpx.OK(c, "Session ended successfully", nil)
}

// state answers a gateway that has no fresh copy of a session's state, and leaves a copy in Redis
// for the others.
func (s *sessions) state(c *fiber.Ctx) error {
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
		s.seen.note(state)
		if err := s.states.Put(c.UserContext(), sessionstate.SessionKey(sessionID), state); err != nil {
			s.log.Debug("session state was not copied to Redis", "error", err.Error())
		}
	}
	return httpx.JSON(c, http.StatusOK, state)
}
