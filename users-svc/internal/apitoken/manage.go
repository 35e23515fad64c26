package apitoken

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/request"
)

// Service manages auth tokens.
//
// A session manages all tokens of its user. A token manages only the tokens that it created: it
// sees them with the permission resources.read_tokens, and creates, changes and deletes them with
// resources.create_tokens. It cannot grant a right that it lacks (see rightsOf). It may delete
// itself, but not change itself. All other tokens are answered with 404, like those of other users.
type Service struct {
	*core.Core
	states    *sessionstate.Cache
	confirmer Confirmer
	limit     int // the most tokens of a user
}

// New returns the domain. limit is the most tokens of a user, and confirmer asks sessions to prove
// their user before they create or change tokens.
func New(c *core.Core, states *sessionstate.Cache, confirmer Confirmer, limit int) *Service {
	return &Service{Core: c, states: states, confirmer: confirmer, limit: limit}
}

// Confirmer checks that a session is used by its user before it creates or changes tokens. Package
// twofactor implements it.
type Confirmer interface {
	// Confirm returns nil if the caller's session was confirmed a short time ago or the proof
	// confirms it.
	Confirm(ctx context.Context, caller auth.Identity, proof request.Proof, device request.Device) error
}

// requireConfirmation checks the proof of sessions. Tokens need none: they are limited by their own
// rights. A token that sends a password is refused, so that it cannot be used to guess passwords.
func (s *Service) requireConfirmation(ctx context.Context, caller auth.Identity, proof request.Proof,
	device request.Device) error {
	switch {
	case caller.Kind == auth.Session:
		return s.confirmer.Confirm(ctx, caller, proof, device)
	case proof.Password != "":
		return apperr.InsufficientPermissions()
	}
	return nil
}

// list returns the tokens that the caller may see, newest first.
func (s *Service) list(ctx context.Context, caller auth.Identity) ([]Token, error) {
	tokens, err := tokensOf(ctx, s.Pool, caller.UserID)
	return slices.DeleteFunc(tokens, func(t Token) bool { return !mayManage(caller, t) && t.ID != caller.TokenID }), err
}

// mayManage reports whether the caller may change the token.
func mayManage(caller auth.Identity, t Token) bool {
	return caller.Kind == auth.Session || t.CreatedByTokenID != nil && *t.CreatedByTokenID == caller.TokenID
}

// get returns a token that the caller may see: one that it manages, or itself.
func (s *Service) get(ctx context.Context, caller auth.Identity, tokenID string) (Token, error) {
	token, err := tokenByID(ctx, s.Pool, caller.UserID, tokenID)
	if err == nil && !mayManage(caller, token) && token.ID != caller.TokenID {
		err = errTokenNotFound()
	}
	return token, err
}

// create creates a token and returns it with its secret. Absent fields have the defaults of the
// API; if a token creates it, absent restrictions are those of that token.
func (s *Service) create(ctx context.Context, caller auth.Identity, patch *tokenPatch, device request.Device) (Token,
	string,
	error) {
	if err := s.requireConfirmation(ctx, caller, patch.proof, device); err != nil {
		return Token{}, "", err
	}
	return s.insertNew(ctx, caller, func(tx lockedTx, ancestors []Token) (Token, error) {
		token := newToken(caller.UserID, s.Now())
		if len(ancestors) > 0 {
			granted := rightsOf(ancestors, s.Now())
			token.RealmIDs, token.IPWhitelist = granted.realms, granted.addresses
			token.AllowNoRealm, token.EventAccess = granted.allowNoRealm, granted.events
			token.VaultReadOnly, token.VaultPrefixes = granted.readOnly, granted.prefixes
			if !granted.expiresAt.IsZero() {
				token.ExpiresAt = api.TimePtr(&granted.expiresAt)
			}
		}
		patch.apply(&token)
		return token, nil
	})
}

// duplicate creates a token with the rights that another token has now and a new alias, and returns
// it with its secret.
func (s *Service) duplicate(ctx context.Context, caller auth.Identity, tokenID string, patch *tokenPatch,
	device request.Device) (Token, string, error) {
	if _, err := s.get(ctx, caller, tokenID); err != nil {
		return Token{}, "", err
	}
	if err := s.requireConfirmation(ctx, caller, patch.proof, device); err != nil {
		return Token{}, "", err
	}
	return s.insertNew(ctx, caller, func(tx lockedTx, _ []Token) (Token, error) {
		source, err := tx.effectiveToken(ctx, caller, tokenID, s.Now())
		if err != nil {
			return Token{}, err
		}
		token, fresh := source, newToken(caller.UserID, s.Now())
		token.ID, token.CreatedAt, token.UpdatedAt, token.IsEnabled = fresh.ID, fresh.CreatedAt, fresh.UpdatedAt, true
		token.CreatedByTokenID, token.DelegationDepth, token.LastUsedAt, token.LastUsedIP = nil, 0, nil, nil
		if token.Alias, err = tx.copyAlias(ctx, source.Alias); err != nil {
			return Token{}, err
		}
		patch.apply(&token)
		if token.expired(s.Now()) {
			return Token{}, errExpirationInPast()
		}
		return token, nil
	})
}

// insertNew stores the token that build returns, and returns it with its secret. build gets the
// caller's token and its ancestors, nearest first; none for a session. It returns 403 when the
// caller lacks a right of the new token, and 409 AUTH_TOKEN_LIMIT_REACHED.
func (s *Service) insertNew(ctx context.Context, caller auth.Identity,
	build func(lockedTx, []Token) (Token, error)) (Token, string, error) {
	var token Token
	var secret string
	err := s.change(ctx, caller.UserID, func(tx lockedTx) error {
		ancestors, err := tx.ancestors(ctx, caller, s.Now())
		if err != nil {
			return err
		}
		if token, err = build(tx, ancestors); err != nil {
			return err
		}
		if len(ancestors) > 0 {
			token.CreatedByTokenID, token.DelegationDepth = &ancestors[0].ID, ancestors[0].DelegationDepth+1
		}
		if token.DelegationDepth > maxDelegationDepth || !subsetOf(token, ancestors, s.Now()) {
			return apperr.InsufficientPermissions()
		}
		count, err := tx.count(ctx)
		if err != nil {
			return err
		}
		if count >= s.limit {
			return apperr.New(apperr.Conflict, "AUTH_TOKEN_LIMIT_REACHED", "Auth token limit reached")
		}
		var hash []byte
		secret, hash = newSecret(token.ID)
		return tx.insert(ctx, token, hash)
	})
	return token, secret, err
}

// update applies the patch to a token that the caller manages.
func (s *Service) update(ctx context.Context, caller auth.Identity, tokenID string, patch *tokenPatch,
	device request.Device) (Token, error) {
	return s.modify(ctx, caller, tokenID, patch.proof, device, func(t *Token) error { patch.apply(t); return nil })
}

// modify applies edit to a token that the caller manages. It returns 403 for the caller's own
// token, and when the changed token has a right that the caller lacks.
func (s *Service) modify(ctx context.Context, caller auth.Identity, tokenID string, proof request.Proof,
	device request.Device,
	edit func(*Token) error) (Token, error) {
	if _, err := s.get(ctx, caller, tokenID); err != nil {
		return Token{}, err
	}
	if tokenID == caller.TokenID {
		return Token{}, apperr.InsufficientPermissions()
	}
	if err := s.requireConfirmation(ctx, caller, proof, device); err != nil {
		return Token{}, err
	}
	var token Token
	err := s.change(ctx, caller.UserID, func(tx lockedTx) error {
		ancestors, err := tx.ancestors(ctx, caller, s.Now())
		if err != nil {
			return err
		}
		if token, err = tx.manageable(ctx, caller, tokenID); err != nil {
			return err
		}
		if err := edit(&token); err != nil {
			return err
		}
		token.UpdatedAt = api.Time(s.Now())
		// A disabled token has no rights, so its rights are compared as if it were enabled.
		if enabled := token; len(ancestors) > 0 {
			enabled.IsEnabled = true
			if !subsetOf(enabled, ancestors, s.Now()) {
				return apperr.InsufficientPermissions()
			}
		}
		return tx.update(ctx, token)
	})
	return token, err
}

// realmEdit is the type of addRealm and removeRealm.
type realmEdit func(ctx context.Context, caller auth.Identity, tokenID, realm string, proof request.Proof,
	by request.Device) (Token,
	error)

// addRealm adds a realm to those to which a token is restricted.
func (s *Service) addRealm(ctx context.Context, caller auth.Identity, tokenID, realm string, proof request.Proof,
	device request.Device) (Token, error) {
	return s.modify(ctx, caller, tokenID, proof, device, func(t *Token) error {
		switch {
		case slices.Contains(t.RealmIDs, realm):
			return nil
		case len(t.RealmIDs) == maxRealms:
			return apperr.InvalidField("/realm_id", "the token has as many realms as it may")
		}
		t.RealmIDs = append(t.RealmIDs, realm)
		return nil
	})
}

// removeRealm removes a realm from those to which a token is restricted. A token without realms
// works in all realms, and also without a realm if it has AllowNoRealm.
func (s *Service) removeRealm(ctx context.Context, caller auth.Identity, tokenID, realm string, proof request.Proof,
	device request.Device) (Token, error) {
	return s.modify(ctx, caller, tokenID, proof, device, func(t *Token) error {
		t.RealmIDs = slices.DeleteFunc(t.RealmIDs, func(r string) bool { return r == realm })
		return nil
	})
}

// remove deletes a token that the caller manages, or the caller's own, and all its descendants.
func (s *Service) remove(ctx context.Context, caller auth.Identity, tokenID string) error {
	return s.change(ctx, caller.UserID, func(tx lockedTx) error {
		if tokenID != caller.TokenID {
			if _, err := tx.manageable(ctx, caller, tokenID); err != nil {
				return err
			}
		}
		return tx.delete(ctx, tokenID)
	})
}

// current returns the token that sent the request, with its restrictions in the realm ("" for
// none).
func (s *Service) current(ctx context.Context, caller auth.Identity, realm string) (currentToken, error) {
	lineage, err := tokenLineage(ctx, s.Pool, caller.UserID, caller.TokenID)
	if err == nil && len(lineage) == 0 {
		err = apperr.InvalidToken() // deleted since the gateway checked it
	}
	if err != nil {
		return currentToken{}, err
	}
	return currentToken{Token: lineage[0], Restrictions: restrictionsOf(rightsOf(lineage, s.Now()), realm)}, nil
}

// state returns the state of a token for the gateways; for an unknown hash, the zero state, which
// is not alive.
func (s *Service) state(ctx context.Context, hash []byte) (sessionstate.State, error) {
	state, lineage, err := tokenState(ctx, s.Pool, hash)
	if err != nil || len(lineage) == 0 {
		return sessionstate.State{}, err
	}
	effective := rightsOf(lineage, s.Now())
	state.Alive, state.ExpiresAt = !effective.unusable, effective.expiresAt
	state.Token = &sessionstate.Token{ID: lineage[0].ID, Grant: effective.grant()}
	if len(effective.addresses) > 0 {
		state.Token.IPWhitelist = effective.addresses.strings()
	}
	return state, nil
}

// ancestors returns the caller's token and its ancestors, nearest first; none for a session. It
// returns 401 INVALID_TOKEN when the token or session has ended: a change that ended it may have
// deleted the user's tokens, and a request from before that must not create new ones.
func (tx lockedTx) ancestors(ctx context.Context, caller auth.Identity, now time.Time) ([]Token, error) {
	if caller.Kind != auth.Token {
		return nil, tx.requireActiveSession(ctx, caller.SessionID, now)
	}
	ancestors, err := tokenLineage(ctx, tx, caller.UserID, caller.TokenID)
	if err == nil && (len(ancestors) == 0 || rightsOf(ancestors, now).unusable) {
		err = apperr.InvalidToken()
	}
	return ancestors, err
}

// manageable returns a token that the caller manages, else 404 TOKEN_NOT_FOUND.
func (tx lockedTx) manageable(ctx context.Context, caller auth.Identity, tokenID string) (Token, error) {
	token, err := tokenByID(ctx, tx, caller.UserID, tokenID)
	if err == nil && !mayManage(caller, token) {
		err = errTokenNotFound()
	}
	return token, err
}

// effectiveToken returns a token that the caller manages, with only the rights that all its
// ancestors have too. It returns 403 INSUFFICIENT_PERMISSIONS when an ancestor is disabled or
// expired, or no realm, address or vault key remains, because the fields of a token cannot express
// that.
func (tx lockedTx) effectiveToken(ctx context.Context, caller auth.Identity, tokenID string, now time.Time) (Token,
	error) {
	token, err := tx.manageable(ctx, caller, tokenID)
	if err != nil {
		return token, err
	}
	lineage, err := tokenLineage(ctx, tx, caller.UserID, tokenID)
	if err != nil {
		return token, err
	}
	// Whether the token itself is enabled and expired does not matter, because the caller can
	// change it.
	lineage[0].IsEnabled, lineage[0].ExpiresAt = true, nil
	effective := rightsOf(lineage, now)
	if effective.unusable || effective.noKeys {
		return token, apperr.InsufficientPermissions()
	}
	if own := (*time.Time)(token.ExpiresAt); !effective.expiresAt.IsZero() &&
		(own == nil || effective.expiresAt.Before(*own)) {
		token.ExpiresAt = api.TimePtr(&effective.expiresAt)
	}
	token.VaultAccess, token.EventAccess, token.AllowNoRealm = effective.vault, effective.events, effective.allowNoRealm
	token.RealmIDs, token.IPWhitelist = effective.realms, effective.addresses
	token.VaultReadOnly = effective.readOnly
	if !slices.Equal(effective.prefixes, auth.NormalPrefixes(token.VaultPrefixes)) {
		token.VaultPrefixes = effective.prefixes
	}
	token.Permissions = token.Permissions.Restrict(effective.permissions)
	return token, nil
}

var errNoFreeAlias = errors.New("no free alias for a copy")

// copyAlias returns a free alias for a copy: "ci copy", "ci copy 2" and so on.
func (tx lockedTx) copyAlias(ctx context.Context, alias string) (string, error) {
	taken, err := tx.aliases(ctx)
	if err != nil {
		return "", err
	}
	for n := 1; n <= len(taken)+1; n++ {
		suffix := " copy"
		if n > 1 {
			suffix += " " + strconv.Itoa(n)
		}
		if name := alias[:min(len(alias), 254-len(suffix))] + suffix; !slices.Contains(taken, name) {
			return name, nil
		}
	}
	return "", errNoFreeAlias
}
