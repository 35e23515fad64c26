package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/gateway/internal/upstream"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/event"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// fetchState reads a session state from users-svc: of the auth token with the hash id, or of the
// session id. An unknown one has the zero state.
func (g *gateway) fetchState(ctx context.Context, token bool, id string) (sessionstate.State, error) {
	path := internalapi.SessionsPath + id
	if token {
		path = internalapi.TokensPath + id
	}
	var state sessionstate.State
	err := g.upstreams[toUsers].Ask(ctx, fiber.MethodGet, path, nil, &state)
	if errors.Is(err, upstream.ErrNotFound) {
		return sessionstate.State{}, nil
	}
	return state, err
}

// fetchKeys reads the public keys from users-svc. A users-svc of the previous release has only the
// public route.
func (g *gateway) fetchKeys(ctx context.Context) (auth.Published, error) {
	var set auth.Published
	err := g.upstreams[toUsers].Ask(ctx, fiber.MethodGet, internalapi.KeysPath, nil, &set)
	if errors.Is(err, upstream.ErrNotFound) {
		err = g.upstreams[toUsers].Ask(ctx, fiber.MethodGet, "/.well-known/jwks.json", nil, &set)
	}
	return set, err
}

// reportTokenUse tells users-svc that an auth token was used.
func (g *gateway) reportTokenUse(ctx context.Context, tokenID string, use internalapi.TokenUse) error {
	body, err := json.Marshal(use)
	if err != nil {
		return err
	}
	path := internalapi.TokensPath + tokenID + internalapi.TokenUsedSuffix
	return g.upstreams[toUsers].Ask(ctx, fiber.MethodPost, path, body, nil)
}

// userPrefix begins the paths of routes about one user.
const userPrefix = apiPrefix + "users/"

// requireUser returns 404 USER_NOT_FOUND when there is no user with the id in the path, for
// services that do not know which users there are.
func (g *gateway) requireUser(ctx context.Context, ex *exchange) error {
	userID, _, _ := strings.Cut(strings.TrimPrefix(string(ex.path), userPrefix), "/")
	if !id.Valid(userID) {
		return apperr.InvalidID()
	}
	var user internalapi.UserFound
	if err := g.upstreams[toUsers].Ask(ctx, fiber.MethodGet, internalapi.UsersPath+userID, nil, &user); err != nil {
		return apperr.ServiceUnavailable(err)
	}
	if !user.Found {
		return apperr.New(apperr.NotFound, "USER_NOT_FOUND", "User not found")
	}
	return nil
}

// fetchInstallation reads the id of the installation from activity-svc; "" when it is of the
// previous release, which has none.
func (g *gateway) fetchInstallation(ctx context.Context) (string, error) {
	var i event.Installation
	err := g.upstreams[toActivity].Ask(ctx, fiber.MethodGet, internalapi.InstallationPath, nil, &i)
	switch {
	case errors.Is(err, upstream.ErrNotFound):
		return "", nil
	case err == nil && !id.Valid(i.ID):
		return "", fmt.Errorf("activity-svc tells %q as the id of the installation", i.ID)
	}
	return i.ID, err
}
