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

func New(c *core.Core, states *sessionstate.Cache, gate Confirmer, limit int) *Service {
	return &Service{Core: c, states: states, confirmer: gate, limit: limit}
}

// Confirmer asks a session to prove password or code before it makes or changes tokens; the
// two-factor domain is one.
type Confirmer interface {
	// Confirm is nil when the session of caller was confirmed a moment ago, or p confirms it.
	Confirm(ctx context.Context, caller auth.Identity, p request.Proof, by request.Device) error
}

// requireConfirmation asks sessions only: a token could not answer, and is bounded by its own
// rights. A token must not try passwords.
func (d *Service) requireConfirmation(ctx context.Context, caller auth.Identity, p request.Proof,
	by request.Device) error {
	switch {
	case caller.Kind == auth.Session:
		return d.confirmer.Confirm(ctx, caller, p, by)
	case p.Password != "":
		return apperr.InsufficientPermissions()
	}
	return nil
}

// list returns the caller's tokens, the newest first.
func (d *Service) list(ctx context.Context, caller auth.Identity) ([]Token, error) {
	all, err := tokensOf(ctx, d.Pool, caller.UserID)
	return slices.DeleteFunc(all, func(t Token) bool { return !mayManage(caller, t) && t.ID != caller.TokenID }), err
}

// mayManage reports whether the token is one that the caller may change.
func mayManage(caller auth.Identity, t Token) bool {
	return caller.Kind == auth.Session || t.CreatedByTokenID != nil && *t.CreatedByTokenID == caller.TokenID
}

// get returns a token that the caller manages, or is.
func (d *Service) get(ctx context.Context, caller auth.Identity, tokenID string) (Token, error) {
	t, err := tokenByID(ctx, d.Pool, caller.UserID, tokenID)
	if err == nil && !mayManage(caller, t) && t.ID != caller.TokenID {
		err = errTokenNotFound()
	}
	return t, err
}

// create makes a token. What the request leaves out has the contract's defaults; made by a token,
// it has that token's restrictions.
func (d *Service) create(ctx context.Context, caller auth.Identity, f *patch, by request.Device) (Token, string,
	error) {
	if err := d.requireConfirmation(ctx, caller, f.proof, by); err != nil {
		return Token{}, "", err
	}
	return d.insertNew(ctx, caller, func(tx lockedTx, makers []Token) (Token, error) {
		t := newToken(caller.UserID, d.Now())
		if len(makers) > 0 {
			r := rightsOf(makers, d.Now())
			t.RealmIDs, t.IPWhitelist, t.AllowNoRealm, t.EventAccess = r.realms, r.addresses, r.noRealm, r.events
			if !r.until.IsZero() {
				t.ExpiresAt = api.TimePtr(&r.until)
			}
		}
		f.apply(&t)
		return t, nil
	})
}

// duplicate makes a token with the rights that another has now, and a name of its own.
func (d *Service) duplicate(ctx context.Context, caller auth.Identity, tokenID string, f *patch,
	by request.Device) (Token, string, error) {
	if _, err := d.get(ctx, caller, tokenID); err != nil {
		return Token{}, "", err
	}
	if err := d.requireConfirmation(ctx, caller, f.proof, by); err != nil {
		return Token{}, "", err
	}
	return d.insertNew(ctx, caller, func(tx lockedTx, _ []Token) (Token, error) {
		source, err := tx.effectiveToken(ctx, caller, tokenID, d.Now())
		if err != nil {
			return Token{}, err
		}
		t, fresh := source, newToken(caller.UserID, d.Now())
		t.ID, t.CreatedAt, t.UpdatedAt, t.IsEnabled = fresh.ID, fresh.CreatedAt, fresh.UpdatedAt, true
		t.CreatedByTokenID, t.DelegationDepth, t.LastUsedAt, t.LastUsedIP = nil, 0, nil, nil
		if t.Alias, err = tx.copyAlias(ctx, source.Alias); err != nil {
			return Token{}, err
		}
		f.apply(&t)
		if t.expired(d.Now()) {
			return Token{}, errExpirationInPast()
		}
		return t, nil
	})
}

// insertNew stores the token that build describes, if the user may have one more and the caller may
// make one like it.
func (d *Service) insertNew(ctx context.Context, caller auth.Identity,
	build func(lockedTx, []Token) (Token, error)) (Token, string, error) {
	var made Token
	var secret string
	err := d.change(ctx, caller.UserID, func(tx lockedTx) error {
		makers, err := tx.ancestors(ctx, caller, d.Now())
		if err != nil {
			return err
		}
		if made, err = build(tx, makers); err != nil {
			return err
		}
		if len(makers) > 0 {
			made.CreatedByTokenID, made.DelegationDepth = &makers[0].ID, makers[0].DelegationDepth+1
		}
		if made.DelegationDepth > maxDelegation || !subsetOf(made, makers, d.Now()) {
			return apperr.InsufficientPermissions()
		}
		count, err := tx.count(ctx)
		if err != nil {
			return err
		}
		if count >= d.limit {
			return apperr.New(apperr.Conflict, "AUTH_TOKEN_LIMIT_REACHED", "Auth token limit reached")
		}
		var hash []byte
		secret, hash = newSecret(made.ID)
		return tx.insert(ctx, made, hash)
	})
	return made, secret, err
}

// update changes a token.
func (d *Service) update(ctx context.Context, caller auth.Identity, tokenID string, f *patch,
	by request.Device) (Token, error) {
	return d.modify(ctx, caller, tokenID, f.proof, by, func(t *Token) error { f.apply(t); return nil })
}

// modify applies edit to a token that the caller manages.
func (d *Service) modify(ctx context.Context, caller auth.Identity, tokenID string, p request.Proof, by request.Device,
	edit func(*Token) error) (Token, error) {
	if _, err := d.get(ctx, caller, tokenID); err != nil {
		return Token{}, err
	}
	if tokenID == caller.TokenID {
		return Token{}, apperr.InsufficientPermissions()
	}
	if err := d.requireConfirmation(ctx, caller, p, by); err != nil {
		return Token{}, err
	}
	var out Token
	err := d.change(ctx, caller.UserID, func(tx lockedTx) error {
		makers, err := tx.ancestors(ctx, caller, d.Now())
		if err != nil {
			return err
		}
		if out, err = tx.manageable(ctx, caller, tokenID); err != nil {
			return err
		}
		if err := edit(&out); err != nil {
			return err
		}
		out.UpdatedAt = api.Time(d.Now())
		// A token that is switched off may do nothing, so it is compared as if it were on.
		if on := out; len(makers) > 0 {
			on.IsEnabled = true
			if !subsetOf(on, makers, d.Now()) {
				return apperr.InsufficientPermissions()
			}
		}
		return tx.update(ctx, out)
	})
	return out, err
}

// realmEdit is addRealm or removeRealm.
type realmEdit func(ctx context.Context, caller auth.Identity, tokenID, realm string, p request.Proof,
	by request.Device) (Token,
	error)

// addRealm restricts the token to realm as well; removeRealm is its opposite. A token that loses
// its last realm is restricted to none by them any more: it works everywhere, or with
// allow_no_realm false in any realm.
func (d *Service) addRealm(ctx context.Context, caller auth.Identity, tokenID, realm string, p request.Proof,
	by request.Device) (Token, error) {
	return d.modify(ctx, caller, tokenID, p, by, func(t *Token) error {
		switch {
		case slices.Contains(t.RealmIDs, realm):
			return nil
		case len(t.RealmIDs) == maxTokenRealms:
			return apperr.InvalidField("/realm_id", "the token has as many realms as it may")
		}
		t.RealmIDs = append(t.RealmIDs, realm)
		return nil
	})
}

func (d *Service) removeRealm(ctx context.Context, caller auth.Identity, tokenID, realm string, p request.Proof,
	by request.Device) (Token, error) {
	return d.modify(ctx, caller, tokenID, p, by, func(t *Token) error {
		t.RealmIDs = slices.DeleteFunc(t.RealmIDs, func(r string) bool { return r == realm })
		return nil
	})
}

// remove deletes a token that the caller manages, or is, and all that it made.
func (d *Service) remove(ctx context.Context, caller auth.Identity, tokenID string) error {
	return d.change(ctx, caller.UserID, func(tx lockedTx) error {
		if tokenID != caller.TokenID {
			if _, err := tx.manageable(ctx, caller, tokenID); err != nil {
				return err
			}
		}
		return tx.delete(ctx, tokenID)
	})
}

// current describes the token of the request.
func (d *Service) current(ctx context.Context, caller auth.Identity, realm string) (CurrentToken, error) {
	lineage, err := tokenLineage(ctx, d.Pool, caller.UserID, caller.TokenID)
	if err == nil && len(lineage) == 0 {
		err = apperr.InvalidToken() // deleted a moment ago
	}
	if err != nil {
		return CurrentToken{}, err
	}
	return CurrentToken{Token: lineage[0], Restrictions: restrictionsOf(rightsOf(lineage, d.Now()), realm)}, nil
}

// state is what the gateways learn about a token; a token that is unknown is not alive.
func (d *Service) state(ctx context.Context, hash []byte) (sessionstate.State, error) {
	s, lineage, err := tokenState(ctx, d.Pool, hash)
	if err != nil || len(lineage) == 0 {
		return sessionstate.State{}, err
	}
	r := rightsOf(lineage, d.Now())
	s.Alive, s.ExpiresAt = !r.dead, r.until
	s.Token = &sessionstate.Token{ID: lineage[0].ID, Grant: r.grant()}
	if len(r.addresses) > 0 {
		s.Token.IPWhitelist = r.addresses.strings()
	}
	return s, nil
}

// ancestors returns the calling token and those that it descends from; none for a session. A token
// or session that is no longer good is INVALID_TOKEN: what ended it may also have taken the user's
// tokens away, and none may be made after that by a request that came before.
func (t lockedTx) ancestors(ctx context.Context, caller auth.Identity, now time.Time) ([]Token, error) {
	if caller.Kind != auth.Token {
		return nil, t.requireActiveSession(ctx, caller.SessionID, now)
	}
	makers, err := tokenLineage(ctx, t.tx, caller.UserID, caller.TokenID)
	if err == nil && (len(makers) == 0 || rightsOf(makers, now).dead) {
		err = apperr.InvalidToken()
	}
	return makers, err
}

// manageable returns a token that the caller manages.
func (t lockedTx) manageable(ctx context.Context, caller auth.Identity, tokenID string) (Token, error) {
	v, err := tokenByID(ctx, t.tx, caller.UserID, tokenID)
	if err == nil && !mayManage(caller, v) {
		err = errTokenNotFound()
	}
	return v, err
}

// effectiveToken returns a token that the caller manages with no right but those that the tokens
// which it descends from have as well. 403 INSUFFICIENT_PERMISSIONS when they leave it none,
// because one is switched off or has expired, or no realm or address is left: a token that is
// restricted to nothing cannot be written down.
func (t lockedTx) effectiveToken(ctx context.Context, caller auth.Identity, tokenID string, now time.Time) (Token,
	error) {
	v, err := t.manageable(ctx, caller, tokenID)
	if err != nil {
		return v, err
	}
	lineage, err := tokenLineage(ctx, t.tx, caller.UserID, tokenID)
	if err != nil {
		return v, err
	}
	// Whether it is switched on and good itself is for the caller to change.
	lineage[0].IsEnabled, lineage[0].ExpiresAt = true, nil
	r := rightsOf(lineage, now)
	if r.dead {
		return v, apperr.InsufficientPermissions()
	}
	if end := (*time.Time)(v.ExpiresAt); !r.until.IsZero() && (end == nil || r.until.Before(*end)) {
		v.ExpiresAt = api.TimePtr(&r.until)
	}
	v.VaultAccess, v.EventAccess, v.AllowNoRealm, v.RealmIDs, v.IPWhitelist = r.vault, r.events, r.noRealm, r.realms,
		r.addresses
	v.Permissions = v.Permissions.Restrict(r.permissions)
	return v, nil
}

var errNoFreeAlias = errors.New("no free alias for a copy")

// copyAlias finds a free name for a copy: "ci copy", "ci copy 2" and so on.
func (t lockedTx) copyAlias(ctx context.Context, alias string) (string, error) {
	taken, err := t.aliases(ctx)
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
