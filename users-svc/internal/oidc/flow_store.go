package oidc

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/request"
	"github.com/realmgate/realmgate/users-svc/internal/secrets"
)

func (s *Service) insertFlow(ctx context.Context, secret secretsOf, f flow) error {
	_, err := s.Pool.Exec(ctx, `INSERT INTO oidc_flows (state_hash, browser_hash, provider, redirect_uri,
			code_challenge, client, invited, code_failed, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		secrets.HashToken(secret.state), secrets.HashToken(secret.browser), f.Provider, f.RedirectURI, f.CodeChallenge,
		f.Client, f.Invited, f.CodeFailed, s.Now().Add(flowTTL))
	return err
}

// takeFlow deletes and returns the sign-in with the state, false when there is none of this
// provider and browser. Of concurrent callbacks one gets it.
func (s *Service) takeFlow(ctx context.Context, provider string, secret secretsOf) (flow, bool, error) {
	var f flow
	err := s.Pool.QueryRow(ctx, `DELETE FROM oidc_flows
		WHERE state_hash = $1 AND browser_hash = $2 AND provider = $3 AND expires_at > $4
		RETURNING provider, redirect_uri, code_challenge, client, invited, code_failed`,
		secrets.HashToken(secret.state), secrets.HashToken(secret.browser), provider, s.Now()).
		Scan(&f.Provider, &f.RedirectURI, &f.CodeChallenge, &f.Client, &f.Invited, &f.CodeFailed)
	if db.IsNoRows(err) {
		return flow{}, false, nil
	}
	return f, err == nil, err
}

// errRace reports that another sign-in made the account or the identity meanwhile.
var errRace = errors.New("another sign-in was faster")

// maxRaces bounds how often a sign-in starts again after errRace. One other sign-in can make the
// account, and one the identity.
const maxRaces = 3

// resolve finds the account of a user at a provider, or links one, or makes one, and stores a code
// for it.
func (s *Service) resolve(ctx context.Context, f flow, said claims, device request.Device) (outcome, error) {
	for race := 1; ; race++ {
		var result outcome
		err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) (err error) {
			result, err = s.resolveTx(ctx, tx, f, said, device)
			return err
		})
		if !errors.Is(err, errRace) || race == maxRaces {
			return result, err
		}
	}
}

func (s *Service) resolveTx(ctx context.Context, tx pgx.Tx, f flow, said claims,
	device request.Device) (outcome, error) {
	now := s.Now()
	known, exists, err := useIdentity(ctx, tx, said, now)
	if err != nil {
		return outcome{}, err
	}
	if exists {
		user, err := account.ByID(ctx, tx, known.UserID)
		if err != nil {
			return outcome{}, err
		}
		if refused := failureOf(s.signIns.Rejection(user)); refused != "" {
			return outcome{failure: refused}, nil
		}
		return s.insertCode(ctx, tx, known.ID, f, now)
	}
	user, found := account.Account{}, false
	if said.Email != "" {
		if user, found, err = lockByEmail(ctx, tx, said.Email); err != nil {
			return outcome{}, err
		}
	}
	switch refused := s.decide(said, user, found); {
	case refused == failedLink:
		return s.insertLink(ctx, tx, link{UserID: user.ID, Provider: f.Provider, claims: said, Client: f.Client}, now)
	case refused != "":
		return outcome{failure: refused}, nil
	case !found:
		var made bool
		if user.ID, made, err = account.Insert(ctx, tx, s.newAccount(f, said)); err != nil || !made {
			return outcome{}, errors.Join(err, errRace)
		}
	}
	id, err := insertIdentity(ctx, tx, user.ID, f.Provider, said, device, now)
	if err != nil {
		return outcome{}, err
	}
	return s.insertCode(ctx, tx, id, f, now)
}

// failureOf returns the parameter error for an account that may not sign in, "" for nil.
func failureOf(rejection error) failure {
	switch {
	case rejection == nil:
		return ""
	case apperr.Is(rejection, "ACCOUNT_BANNED"):
		return failedBanned
	}
	return failedEmail
}

// lockByEmail returns the account with the address and locks its row, or false.
func lockByEmail(ctx context.Context, tx pgx.Tx, email string) (account.Account, bool, error) {
	user, err := account.ByEmail(ctx, tx, email)
	if err == nil {
		user, err = account.LockByID(ctx, tx, user.ID)
	}
	if apperr.Is(err, "USER_NOT_FOUND") {
		return account.Account{}, false, nil
	}
	return user, err == nil, err
}

// insertCode stores a code for the user of the identity.
func (s *Service) insertCode(ctx context.Context, tx core.DBTX, identityID string, f flow,
	now time.Time) (outcome, error) {
	code := newCode()
	_, err := tx.Exec(ctx, `INSERT INTO oidc_codes (hash, identity_id, redirect_uri, code_challenge, client, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6)`,
		secrets.HashToken(code), identityID, f.RedirectURI, f.CodeChallenge, f.Client, now.Add(codeTTL))
	return outcome{code: code}, err
}

// insertLink stores a user at a provider who may be linked to an account, and returns the token.
func (s *Service) insertLink(ctx context.Context, tx core.DBTX, l link, now time.Time) (outcome, error) {
	token := secrets.NewToken()
	_, err := tx.Exec(ctx, `INSERT INTO oidc_links (hash, user_id, provider, issuer, subject, email, email_verified,
			client, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		secrets.HashToken(token), l.UserID, l.Provider, l.Issuer, l.Subject, l.Email, l.EmailVerified, l.Client,
		now.Add(linkTTL))
	return outcome{failure: failedLink, linkToken: token}, err
}

// insertIdentity links a user at a provider to an account and returns the id of the identity. It
// returns errRace when the user is linked already.
func insertIdentity(ctx context.Context, tx core.DBTX, userID, provider string, said claims, device request.Device,
	now time.Time) (string, error) {
	id := newID(now)
	tag, err := tx.Exec(ctx, `INSERT INTO identities
			(id, user_id, provider, issuer, subject, email, created_at, last_used_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT DO NOTHING`,
		id, userID, provider, said.Issuer, said.Subject, said.Email, now)
	if err != nil {
		return "", err
	}
	if tag.RowsAffected() == 0 {
		return "", errRace
	}
	return id, history.Record(ctx, tx, now, history.Event{UserID: userID, Kind: history.IdentityLinked, Device: device})
}

// useIdentity returns the identity of a user at a provider and notes that it was used, or false.
func useIdentity(ctx context.Context, tx core.DBTX, said claims, now time.Time) (identity, bool, error) {
	var known identity
	err := tx.QueryRow(ctx, `UPDATE identities SET last_used_at = $3, email = coalesce(nullif($4, ''), email)
		WHERE issuer = $1 AND subject = $2 RETURNING id, user_id`,
		said.Issuer, said.Subject, now, said.Email).Scan(&known.ID, &known.UserID)
	if db.IsNoRows(err) {
		return identity{}, false, nil
	}
	return known, err == nil, err
}
