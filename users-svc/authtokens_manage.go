package users

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
)

// authTokens is the domain of auth tokens.
//
// A session manages all tokens of its user. A token manages only those that it made itself, and
// itself it may only delete: with the permission resources.read_tokens it sees them, with
// resources.create_tokens it makes, changes and deletes them, and never gives a right that it lacks
// (see rightsOf). To a token, all others are as unknown as another user's.
type authTokens struct {
	*core
	states *sessionstate.Cache
	gate   tokenGate
	limit  int // of tokens that a user may have
}

func newAuthTokens(c *core, states *sessionstate.Cache, gate tokenGate, limit int) *authTokens {
	return &authTokens{core: c, states: states, gate: gate, limit: limit}
}

// tokenGate asks a session to prove password or code before it makes or changes tokens; the
// two-factor domain is one.
type tokenGate interface {
	// pass is nil when the session of caller was confirmed a moment ago, or p confirms it.
	pass(ctx context.Context, caller auth.Identity, p proof, by device) error
}

// passGate asks sessions only: a token could not answer, and is bounded by its own rights. A token
// must not try passwords.
func (d *authTokens) passGate(ctx context.Context, caller auth.Identity, p proof, by device) error {
	switch {
	case caller.Kind == auth.Session:
		return d.gate.pass(ctx, caller, p, by)
	case p.password != "":
		return apperr.InsufficientPermissions()
	}
	return nil
}

// list returns the caller's tokens, the newest first.
func (d *authTokens) list(ctx context.Context, caller auth.Identity) ([]AuthToken, error) {
	all, err := tokensOf(ctx, d.pool, caller.UserID)
	return slices.DeleteFunc(all, func(t AuthToken) bool { return !manages(caller, t) && t.ID != caller.TokenID }), err
}

// manages reports whether the token is one that the caller may change.
func manages(caller auth.Identity, t AuthToken) bool {
	return caller.Kind == auth.Session || t.CreatedByTokenID != nil && *t.CreatedByTokenID == caller.TokenID
}

// get returns a token that the caller manages, or is.
func (d *authTokens) get(ctx context.Context, caller auth.Identity, tokenID string) (AuthToken, error) {
	t, err := tokenByID(ctx, d.pool, caller.UserID, tokenID)
	if err == nil && !manages(caller, t) && t.ID != caller.TokenID {
		err = errTokenNotFound()
	}
	return t, err
}

// create makes a token. What the request leaves out has the contract's defaults; made by a token,
// it has that token's restrictions.
func (d *authTokens) create(ctx context.Context, caller auth.Identity, f *tokenFields, by device) (AuthToken, string,
	error) {
	if err := d.passGate(ctx, caller, f.proof, by); err != nil {
		return AuthToken{}, "", err
	}
	return d.issue(ctx, caller, func(tx tokenTx, makers []AuthToken) (AuthToken, error) {
		t := newAuthToken(caller.UserID, d.now())
		if len(makers) > 0 {
			r := rightsOf(makers, d.now())
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
func (d *authTokens) duplicate(ctx context.Context, caller auth.Identity, tokenID string, f *tokenFields,
	by device) (AuthToken, string, error) {
	if _, err := d.get(ctx, caller, tokenID); err != nil {
		return AuthToken{}, "", err
	}
	if err := d.passGate(ctx, caller, f.proof, by); err != nil {
		return AuthToken{}, "", err
	}
	return d.issue(ctx, caller, func(tx tokenTx, _ []AuthToken) (AuthToken, error) {
		source, err := tx.narrowed(ctx, caller, tokenID, d.now())
		if err != nil {
			return AuthToken{}, err
		}
		t, fresh := source, newAuthToken(caller.UserID, d.now())
		t.ID, t.CreatedAt, t.UpdatedAt, t.IsEnabled = fresh.ID, fresh.CreatedAt, fresh.UpdatedAt, true
		t.CreatedByTokenID, t.DelegationDepth, t.LastUsedAt, t.LastUsedIP = nil, 0, nil, nil
		if t.Alias, err = tx.copyAlias(ctx, source.Alias); err != nil {
			return AuthToken{}, err
		}
		f.apply(&t)
		if t.expired(d.now()) {
			return AuthToken{}, errExpirationInPast()
		}
		return t, nil
	})
}

// issue stores the token that build describes, if the user may have one more and the caller may
// make one like it.
func (d *authTokens) issue(ctx context.Context, caller auth.Identity,
	build func(tokenTx, []AuthToken) (AuthToken, error)) (AuthToken, string, error) {
	var made AuthToken
	var secret string
	err := d.change(ctx, caller.UserID, func(tx tokenTx) error {
		makers, err := tx.makers(ctx, caller, d.now())
		if err != nil {
			return err
		}
		if made, err = build(tx, makers); err != nil {
			return err
		}
		if len(makers) > 0 {
			made.CreatedByTokenID, made.DelegationDepth = &makers[0].ID, makers[0].DelegationDepth+1
		}
		if made.DelegationDepth > maxDelegation || !within(made, makers, d.now()) {
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
func (d *authTokens) update(ctx context.Context, caller auth.Identity, tokenID string, f *tokenFields,
	by device) (AuthToken, error) {
	return d.modify(ctx, caller, tokenID, f.proof, by, func(t *AuthToken) error { f.apply(t); return nil })
}

// modify applies edit to a token that the caller manages.
func (d *authTokens) modify(ctx context.Context, caller auth.Identity, tokenID string, p proof, by device,
	edit func(*AuthToken) error) (AuthToken, error) {
	if _, err := d.get(ctx, caller, tokenID); err != nil {
		return AuthToken{}, err
	}
	if tokenID == caller.TokenID {
		return AuthToken{}, apperr.InsufficientPermissions()
	}
	if err := d.passGate(ctx, caller, p, by); err != nil {
		return AuthToken{}, err
	}
	var out AuthToken
	err := d.change(ctx, caller.UserID, func(tx tokenTx) error {
		makers, err := tx.makers(ctx, caller, d.now())
		if err != nil {
			return err
		}
		if out, err = tx.managed(ctx, caller, tokenID); err != nil {
			return err
		}
		if err := edit(&out); err != nil {
			return err
		}
		out.UpdatedAt = api.Time(d.now())
		// A token that is switched off may do nothing, so it is compared as if it were on.
		if on := out; len(makers) > 0 {
			on.IsEnabled = true
			if !within(on, makers, d.now()) {
				return apperr.InsufficientPermissions()
			}
		}
		return tx.update(ctx, out)
	})
	return out, err
}

// realmEdit is addRealm or removeRealm.
type realmEdit func(ctx context.Context, caller auth.Identity, tokenID, realm string, p proof, by device) (AuthToken,
	error)

// addRealm restricts the token to realm as well; removeRealm is its opposite. A token that loses
// its last realm is restricted to none by them any more: it works everywhere, or with
// allow_no_realm false in any realm.
func (d *authTokens) addRealm(ctx context.Context, caller auth.Identity, tokenID, realm string, p proof,
	by device) (AuthToken, error) {
	return d.modify(ctx, caller, tokenID, p, by, func(t *AuthToken) error {
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

func (d *authTokens) removeRealm(ctx context.Context, caller auth.Identity, tokenID, realm string, p proof,
	by device) (AuthToken, error) {
	return d.modify(ctx, caller, tokenID, p, by, func(t *AuthToken) error {
		t.RealmIDs = slices.DeleteFunc(t.RealmIDs, func(r string) bool { return r == realm })
		return nil
	})
}

// remove deletes a token that the caller manages, or is, and all that it made.
func (d *authTokens) remove(ctx context.Context, caller auth.Identity, tokenID string) error {
	return d.change(ctx, caller.UserID, func(tx tokenTx) error {
		if tokenID != caller.TokenID {
			if _, err := tx.managed(ctx, caller, tokenID); err != nil {
				return err
			}
		}
		return tx.delete(ctx, tokenID)
	})
}

// current describes the token of the request.
func (d *authTokens) current(ctx context.Context, caller auth.Identity, realm string) (CurrentToken, error) {
	lineage, err := tokenLineage(ctx, d.pool, caller.UserID, caller.TokenID)
	if err == nil && len(lineage) == 0 {
		err = apperr.InvalidToken() // deleted a moment ago
	}
	if err != nil {
		return CurrentToken{}, err
	}
	return CurrentToken{Token: lineage[0], Restrictions: restrictionsOf(rightsOf(lineage, d.now()), realm)}, nil
}

// state is what the gateways learn about a token; a token that is unknown is not alive.
func (d *authTokens) state(ctx context.Context, hash []byte) (sessionstate.State, error) {
	s, lineage, err := tokenState(ctx, d.pool, hash)
	if err != nil || len(lineage) == 0 {
		return sessionstate.State{}, err
	}
	r := rightsOf(lineage, d.now())
	s.Alive, s.ExpiresAt = !r.dead, r.until
	s.Token = &sessionstate.Token{ID: lineage[0].ID, Grant: r.grant()}
	if len(r.addresses) > 0 {
		s.Token.IPWhitelist = r.addresses.strings()
	}
	return s, nil
}

// makers returns the calling token and those that it descends from; none for a session. A token or
// session that is no longer good is INVALID_TOKEN: what ended it may also have taken the user's
// tokens away, and none may be made after that by a request that came before.
func (t tokenTx) makers(ctx context.Context, caller auth.Identity, now time.Time) ([]AuthToken, error) {
	if caller.Kind != auth.Token {
		return nil, t.demandLive(ctx, caller.SessionID, now)
	}
	makers, err := tokenLineage(ctx, t.tx, caller.UserID, caller.TokenID)
	if err == nil && (len(makers) == 0 || rightsOf(makers, now).dead) {
		err = apperr.InvalidToken()
	}
	return makers, err
}

// managed returns a token that the caller manages.
func (t tokenTx) managed(ctx context.Context, caller auth.Identity, tokenID string) (AuthToken, error) {
	v, err := tokenByID(ctx, t.tx, caller.UserID, tokenID)
	if err == nil && !manages(caller, v) {
		err = errTokenNotFound()
	}
	return v, err
}

// narrowed returns a token that the caller manages with no right but those that the tokens which it
// descends from have as well. 403 INSUFFICIENT_PERMISSIONS when they leave it none, because one is
// switched off or has expired, or no realm or address is left: a token that is restricted to
// nothing cannot be written down.
func (t tokenTx) narrowed(ctx context.Context, caller auth.Identity, tokenID string, now time.Time) (AuthToken, error) {
	v, err := t.managed(ctx, caller, tokenID)
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
	v.Permissions = v.Permissions.only(r.permissions)
	return v, nil
}

var errNoFreeAlias = errors.New("no free alias for a copy")

// copyAlias finds a free name for a copy: "ci copy", "ci copy 2" and so on.
func (t tokenTx) copyAlias(ctx context.Context, alias string) (string, error) {
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
