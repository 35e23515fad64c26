package passkey

import (
	"context"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/users-svc/internal/account"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/request"
	"github.com/realmgate/realmgate/users-svc/internal/secrets"
)

func (s *Service) insertChallenge(ctx context.Context, challenge string, sessionID *string, now time.Time) error {
	_, err := s.Pool.Exec(ctx, `INSERT INTO passkey_challenges (hash, session_id, expires_at) VALUES ($1, $2, $3)`,
		secrets.HashToken(challenge), sessionID, now.Add(challengeTTL))
	return err
}

// takeChallenge uses a challenge up, of a registration by the session or of a login (nil). Without
// it the answer is 400 INVALID_PASSKEY_RESPONSE.
func (s *Service) takeChallenge(ctx context.Context, challenge string, sessionID *string) error {
	tag, err := s.Pool.Exec(ctx, `DELETE FROM passkey_challenges
		WHERE hash = $1 AND session_id IS NOT DISTINCT FROM $2 AND expires_at > $3`,
		secrets.HashToken(challenge), sessionID, s.Now())
	if err == nil && tag.RowsAffected() == 0 {
		err = errInvalid()
	}
	return err
}

// owner returns an account with its passkeys for this relying party.
func (s *Service) owner(ctx context.Context, userID string) (owner, error) {
	if !id.Valid(userID) {
		return owner{}, core.UserNotFound()
	}
	user, err := account.ByID(ctx, s.Pool, userID)
	if err != nil {
		return owner{}, err
	}
	rows, err := s.Pool.Query(ctx, `SELECT credential_id, public_key, sign_count, transports, backup_eligible, backed_up
		FROM passkeys WHERE user_id = $1 AND rp_id = $2 ORDER BY id`, userID, s.party.Config.RPID)
	if err != nil {
		return owner{}, err
	}
	passkeys, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (webauthn.Credential, error) {
		var c webauthn.Credential
		var count int64
		var transports []string
		err := row.Scan(&c.ID, &c.PublicKey, &count, &transports, &c.Flags.BackupEligible, &c.Flags.BackupState)
		for _, transport := range transports {
			c.Transport = append(c.Transport, protocol.AuthenticatorTransport(transport))
		}
		c.Authenticator.SignCount = uint32(count)
		return c, err
	})
	return owner{user: user.User, passkeys: passkeys}, err
}

// insert stores a new passkey. The user's row is locked, so that concurrent registrations do not
// pass the limit together.
func (s *Service) insert(ctx context.Context, userID string, made *webauthn.Credential, name string,
	device request.Device) (passkey, error) {
	now := s.Now()
	stored := passkey{ID: id.New(now), Name: name, BackedUp: made.Flags.BackupState, CreatedAt: api.Time(now)}
	transports := []string{}
	for _, transport := range made.Transport {
		transports = append(transports, string(transport))
	}
	err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if _, err := account.LockByID(ctx, tx, userID); err != nil {
			return err
		}
		var count int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM passkeys WHERE user_id = $1`, userID).Scan(&count); err != nil {
			return err
		}
		if count >= maxPasskeys {
			return errLimitReached()
		}
		tag, err := tx.Exec(ctx, `INSERT INTO passkeys (id, user_id, rp_id, credential_id, public_key, sign_count,
				transports, backup_eligible, backed_up, name, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING`,
			stored.ID, userID, s.party.Config.RPID, made.ID, made.PublicKey, int64(made.Authenticator.SignCount), transports,
			made.Flags.BackupEligible, made.Flags.BackupState, name, now)
		if err == nil && tag.RowsAffected() == 0 {
			err = apperr.New(apperr.Conflict, "PASSKEY_EXISTS", "This passkey is registered already")
		}
		if err != nil {
			return err
		}
		return history.Record(ctx, tx, now, history.Event{UserID: userID, Kind: history.PasskeyAdded, Device: device})
	})
	return stored, err
}

// use notes that a passkey signed in. It returns 401 INVALID_PASSKEY when the passkey was removed
// meanwhile, and when its counter did not grow: then there are two copies of it (WebAuthn level 2,
// section 6.1.1). A counter of 0 means that the authenticator has none.
func (s *Service) use(ctx context.Context, tx core.DBTX, used *webauthn.Credential) error {
	tag, err := tx.Exec(ctx, `UPDATE passkeys SET sign_count = $2, backed_up = $3, last_used_at = $4
		WHERE credential_id = $1 AND (sign_count < $2 OR sign_count = 0 AND $2 = 0)`,
		used.ID, int64(used.Authenticator.SignCount), used.Flags.BackupState, s.Now())
	if err == nil && tag.RowsAffected() == 0 {
		err = errRejected()
	}
	return err
}

// list returns the passkeys of an account, the oldest first.
func (s *Service) list(ctx context.Context, userID string) ([]passkey, error) {
	rows, err := s.Pool.Query(ctx, `SELECT `+passkeyColumns+` FROM passkeys WHERE user_id = $1 ORDER BY id`, userID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanPasskey)
}

const passkeyColumns = `id, name, backed_up, created_at, last_used_at`

func scanPasskey(row pgx.CollectableRow) (passkey, error) {
	var p passkey
	var lastUsed *time.Time
	err := row.Scan(&p.ID, &p.Name, &p.BackedUp, (*time.Time)(&p.CreatedAt), &lastUsed)
	p.LastUsedAt = api.TimePtr(lastUsed)
	return p, err
}

// rename gives a passkey another name and returns it, or 404 PASSKEY_NOT_FOUND.
func (s *Service) rename(ctx context.Context, userID, passkeyID, name string) (passkey, error) {
	rows, err := s.Pool.Query(ctx, `UPDATE passkeys SET name = $3 WHERE user_id = $1 AND id = $2
		RETURNING `+passkeyColumns, userID, passkeyID, name)
	renamed, found, err := core.One(rows, err, scanPasskey)
	if err == nil && !found {
		err = errNotFound()
	}
	return renamed, err
}

// remove deletes a passkey. It returns 404 PASSKEY_NOT_FOUND, or 409 LAST_SIGN_IN_METHOD when
// nobody could sign in to the account any more.
func (s *Service) remove(ctx context.Context, userID, passkeyID string, device request.Device) error {
	return db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if _, err := account.LockByID(ctx, tx, userID); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `DELETE FROM passkeys WHERE user_id = $1 AND id = $2`, userID, passkeyID)
		if err == nil && tag.RowsAffected() == 0 {
			err = errNotFound()
		}
		if err != nil {
			return err
		}
		if err := account.RequireSignInMethod(ctx, tx, userID); err != nil {
			return err
		}
		event := history.Event{UserID: userID, Kind: history.PasskeyRemoved, Device: device}
		return history.Record(ctx, tx, s.Now(), event)
	})
}
