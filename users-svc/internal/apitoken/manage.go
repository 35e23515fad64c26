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

// Service is the domain of auth tokens.
//
// A session manages all tokens of its user. A token manages only those that it made itself, and
// itself it may only delete: with the permission resources.read_tokens it sees them, with
// resources.create_tokens it makes, changes and deletes them, and never gives a right that it lacks
// (see rightsOf). To a token, all others are as unknown as another user's.
type Service struct {
	*core.Core
	states    *sessionstate.Cache
	confirmer Confirmer
	limit     int // of tokens that a user may have
}

func New(c *core.Core, states *sessionstate.Cache, confirmer Confirmer, limit int) *Service {
	return &Service{Core: c, states: states, confirmer: confirmer, limit: limit}
}

// Confirmer asks a session to prove password or code before it makes or changes tokens; the
// two-factor domain is one.
type Confirmer interface {
	// Confirm is nil when the session of caller was confirmed a moment ago, or p confirms it.
	Confirm(ctx context.Context, caller auth.Identity, p request.Proof, by request.Device) error
}

// requireConfirmation asks sessions only: a token could not answer, and is bounded by its own
// rights. A token must not try passwords.
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

// list returns the caller's tokens, the newest first.
func (s *Service) list(ctx context.Context, caller auth.Identity) ([]Token, error) {
	tokens, err := tokensOf(ctx, s.Pool, caller.UserID)
	return slices.DeleteFunc(tokens, func(t Token) bool { return !mayManage(caller, t) && t.ID != caller.TokenID }), err
}

// mayManage reports whether the token is one that the caller may change.
func mayManage(caller auth.Identity, t Token) bool {
	return caller.Kind == auth.Session || t.CreatedByTokenID != nil && *t.CreatedByTokenID == caller.TokenID
}

// get returns a token that the caller manages, or is.
func (s *Service) get(ctx context.Context, caller auth.Identity, tokenID string) (Token, error) {
	token, err := tokenByID(ctx, s.Pool, caller.UserID, tokenID)
	if err == nil && !mayManage(caller, token) && token.ID != caller.TokenID {
		err = errTokenNotFound()
	}
	return token, err
}

// create makes a token. What the request leaves out has the contract's defaults; made by a token,
// it has that token's restrictions.
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
			token.RealmIDs, token.IPWhitelist, token.AllowNoRealm, token.EventAccess = granted.realms, granted.addresses,
				granted.allowNoRealm, granted.events
			if !granted.expiresAt.IsZero() {
				token.ExpiresAt = api.TimePtr(&granted.expiresAt)
			}
		}
		patch.apply(&token)
		return token, nil
	})
}

// duplicate makes a token with the rights that another has now, and a name of its own.
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

// insertNew stores the token that build describes, if the user may have one more and the caller may
// make one like it.
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

// update changes a token.
func (s *Service) update(ctx context.Context, caller auth.Identity, tokenID string, patch *tokenPatch,
	device request.Device) (Token, error) {
	return s.modify(ctx, caller, tokenID, patch.proof, device, func(t *Token) error { patch.apply(t); return nil })
}

// modify applies edit to a token that the caller manages.
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
		// A token that is switched off may do nothing, so it is compared as if it were on.
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

// realmEdit is addRealm or removeRealm.
type realmEdit func(ctx context.Context, caller auth.Identity, tokenID, realm string, proof request.Proof,
	by request.Device) (Token,
	error)

// addRealm restricts the token to realm as well; removeRealm is its opposite. A token that loses
// its last realm is restricted to none by them any more: it works everywhere, or with
// allow_no_realm false in any realm.
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

func (s *Service) removeRealm(ctx context.Context, caller auth.Identity, tokenID, realm string, proof request.Proof,
	device request.Device) (Token, error) {
	return s.modify(ctx, caller, tokenID, proof, device, func(t *Token) error {
		t.RealmIDs = slices.DeleteFunc(t.RealmIDs, func(r string) bool { return r == realm })
		return nil
	})
}

// remove deletes a token that the caller manages, or is, and all that it made.
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

// current describes the token of the request.
func (s *Service) current(ctx context.Context, caller auth.Identity, realm string) (currentToken, error) {
	lineage, err := tokenLineage(ctx, s.Pool, caller.UserID, caller.TokenID)
	if err == nil && len(lineage) == 0 {
		err = apperr.InvalidToken() // deleted a moment ago
	}
	if err != nil {
		return currentToken{}, err
	}
	return currentToken{Token: lineage[0], Restrictions: restrictionsOf(rightsOf(lineage, s.Now()), realm)}, nil
}

// state is what the gateways learn about a token; a token that is unknown is not alive.
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

// ancestors returns the calling token and those that it descends from; none for a session. A token
// or session that is no longer good is INVALID_TOKEN: what ended it may also have taken the user's
// tokens away, and none may be made after that by a request that came before.
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

// manageable returns a token that the caller manages.
func (tx lockedTx) manageable(ctx context.Context, caller auth.Identity, tokenID string) (Token, error) {
	token, err := tokenByID(ctx, tx, caller.UserID, tokenID)
	if err == nil && !mayManage(caller, token) {
		err = errTokenNotFound()
	}
	return token, err
}

// effectiveToken returns a token that the caller manages with no right but those that the tokens
// which it descends from have as well. 403 INSUFFICIENT_PERMISSIONS when they leave it none,
// because one is switched off or has expired, or no realm or address is left: a token that is
// restricted to nothing cannot be written down.
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
	// Whether it is switched on and good itself is for the caller to change.
	lineage[0].IsEnabled, lineage[0].ExpiresAt = true, nil
	effective := rightsOf(lineage, now)
	if effective.unusable {
		return token, apperr.InsufficientPermissions()
	}
	if own := (*time.Time)(token.ExpiresAt); !effective.expiresAt.IsZero() &&
		(own == nil || effective.expiresAt.Before(*own)) {
		token.ExpiresAt = api.TimePtr(&effective.expiresAt)
	}
	token.VaultAccess, token.EventAccess, token.AllowNoRealm, token.RealmIDs, token.IPWhitelist = effective.vault,
		effective.events, effective.allowNoRealm, effective.realms,
		effective.addresses
	token.Permissions = token.Permissions.Restrict(effective.permissions)
	return token, nil
}

var errNoFreeAlias = errors.New("no free alias for a copy")

// copyAlias finds a free name for a copy: "ci copy", "ci copy 2" and so on.
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
