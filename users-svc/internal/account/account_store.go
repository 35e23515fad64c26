package account

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/sessionstate"
	"github.com/realmgate/realmgate/users-svc/internal/apitoken"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/history"
	"github.com/realmgate/realmgate/users-svc/internal/mail"
	"github.com/realmgate/realmgate/users-svc/internal/request"
	"github.com/realmgate/realmgate/users-svc/internal/session"
)

// Update applies patch to a user in one transaction, announces the change to the gateways, and
// returns the account afterwards. checkedHash is the hash that the current password was verified
// against, or "" when none was: if it is no longer the stored one, the answer is 400
// CURRENT_PASSWORD_INCORRECT. newHash, unless "", becomes the password hash. keepSession is the
// session that survives a new password.
func (s *Service) Update(ctx context.Context, userID string, patch Patch, checkedHash, newHash, keepSession string,
	device request.Device) (Updated, error) {
	var result Updated
	var ch *sessionstate.Change
	err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		result, ch = Updated{}, nil
		old, err := lockForUpdate(ctx, tx, userID, patch)
		if err != nil {
			return err
		}
		if checkedHash != "" && old.PasswordHash != checkedHash {
			return ErrWrongPassword()
		}
		flags, err := patch.flagChanges(old)
		if err != nil {
			return err
		}
		if flags.adminRevoked {
			if err := refuseLastAdmin(ctx, tx); err != nil {
				return err
			}
		}
		result.Changed = flags
		now, hash := s.Now(), newHash
		if flags.EmailVerified {
			if hash == "" {
				hash = s.Hasher.Unusable()
			}
			if result.Revoked, _, err = RevokeAccess(ctx, tx, userID, history.PasswordChanged, now); err != nil {
				return err
			}
		}
		if !patch.identityPatch.empty() {
			if err := writeIdentity(ctx, tx, old, patch.identityPatch, now); err != nil {
				return err
			}
		}
		if result.Account, err = writePatch(ctx, tx, userID, patch, flags, hash, now); err != nil {
			return err
		}
		if patch.Password != nil && !patch.KeepTokens {
			tokens, err := apitoken.RevokeAll(ctx, tx, userID, device, now)
			if err != nil {
				return err
			}
			result.Revoked.Tokens += tokens
		}
		events := append(flags.events(), patch.identityPatch.events(old)...)
		ended, change, err := s.applyConsequences(ctx, tx, userID, patch, events, keepSession, device, now)
		result.Revoked.Sessions += ended
		ch = change
		return err
	})
	if err == nil && ch != nil {
		s.Changes.Notify(ctx, *ch)
	}
	return result, err
}

// lockForUpdate locks the user's row. When the patch may take away an admin, it locks all admins,
// in the order of their ids: of two admins who demote each other at once, the second then sees the
// change of the first.
func lockForUpdate(ctx context.Context, tx pgx.Tx, userID string, patch Patch) (Account, error) {
	if patch.Admin != nil && !*patch.Admin {
		_, err := tx.Exec(ctx, `SELECT FROM users WHERE is_admin OR id = $1 ORDER BY id FOR UPDATE`, userID)
		if err != nil {
			return Account{}, err
		}
	}
	return LockByID(ctx, tx, userID)
}

// refuseLastAdmin returns 409 LAST_ADMIN when there is only one admin.
func refuseLastAdmin(ctx context.Context, tx pgx.Tx) error {
	var admins int
	if err := tx.QueryRow(ctx, `SELECT count(*) FROM users WHERE is_admin`).Scan(&admins); err != nil {
		return err
	}
	if admins < 2 {
		return errLastAdmin()
	}
	return nil
}

// writePatch stores the columns of a patch, except the identity, and returns the account
// afterwards.
func writePatch(ctx context.Context, tx pgx.Tx, userID string, patch Patch, flags flagChanges, newHash string,
	now time.Time) (Account, error) {
	if patch.empty() {
		return ByID(ctx, tx, userID)
	}
	_, err := tx.Exec(ctx, `
		UPDATE users SET alias = coalesce($2, alias), public_key = coalesce($3, public_key),
			metadata = coalesce($4, metadata), password_hash = coalesce(nullif($5, ''), password_hash),
			is_admin = $6, is_banned = $7,
			ban_reason = CASE WHEN NOT $7 THEN NULL WHEN $8::text IS NOT NULL THEN $8 ELSE ban_reason END,
			banned_at = CASE WHEN NOT $7 THEN NULL WHEN is_banned AND banned_at IS NOT NULL THEN banned_at ELSE $10 END,
			vault_quota = coalesce($9, vault_quota), updated_at = $10,
			email_verified = email_verified OR $11
		WHERE id = $1`,
		userID, patch.Alias, patch.PublicKey, []byte(patch.Metadata), newHash, flags.isAdmin, flags.isBanned,
		patch.BanReason,
		patch.VaultQuota, now,
		patch.ForceEmailVerified)
	if err != nil {
		return Account{}, err
	}
	return ByID(ctx, tx, userID)
}

// applyConsequences records the events of a change, and for a new password ends the other sessions
// and the reset links. It returns the number of ended sessions and the change to announce, or nil
// when no gateway needs to know.
func (s *Service) applyConsequences(ctx context.Context, tx pgx.Tx, userID string, patch Patch, events []string,
	keepSession string, device request.Device, now time.Time) (ended int64, announced *sessionstate.Change, err error) {
	if patch.Password != nil {
		events = append(events, history.PasswordChanged)
		if ended, err = session.EndAllTx(ctx, tx, userID, keepSession, history.PasswordChanged, now); err != nil {
			return 0, nil, err
		}
		if err := mail.DropTokens(ctx, tx, userID, mail.PurposeReset); err != nil {
			return 0, nil, err
		}
	}
	for _, event := range events {
		if err := history.Record(ctx, tx, now, history.Event{UserID: userID, Kind: event, Device: device}); err != nil {
			return 0, nil, err
		}
	}
	if len(events) == 0 && patch.VaultQuota == nil {
		return 0, nil, nil
	}
	change, err := core.BumpVersion(ctx, tx, userID)
	return ended, &change, err
}

// RenewHash replaces the hash old by a stronger hash of the same password. It reports false when
// the stored hash is not old any more.
func RenewHash(ctx context.Context, q core.DBTX, userID, old, renewed string) (bool, error) {
	tag, err := q.Exec(ctx, `UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2`, userID, old,
		renewed)
	return tag.RowsAffected() > 0, err
}

// ByID returns the account with an id, or 404 USER_NOT_FOUND.
func ByID(ctx context.Context, q core.DBTX, userID string) (Account, error) {
	return findOne(ctx, q, `WHERE id = $1`, userID)
}

// LockByID is ByID, and locks the row until the end of the transaction.
func LockByID(ctx context.Context, tx pgx.Tx, userID string) (Account, error) {
	return findOne(ctx, tx, `WHERE id = $1 FOR UPDATE`, userID)
}

// findOne returns the account that the rest of the query selects, or 404 USER_NOT_FOUND.
func findOne(ctx context.Context, q core.DBTX, rest string, args ...any) (Account, error) {
	rows, err := q.Query(ctx, `SELECT `+accountColumns+` FROM users `+rest, args...)
	if err != nil {
		return Account{}, err
	}
	account, err := pgx.CollectExactlyOneRow(rows, scanAccount)
	if db.IsNoRows(err) {
		return Account{}, core.UserNotFound()
	}
	return account, err
}

// accountColumns are the columns of users that columns scans, in the same order.
const accountColumns = `id, username, email, email_key, alias, public_key, metadata, password_hash, is_admin, is_banned,
	ban_reason, email_verified, avatar_url, signup_method, vault_quota, welcomed, created_at, updated_at, banned_at`

// columns returns the scan targets for accountColumns.
func (a *Account) columns() []any {
	return []any{&a.ID, &a.Username, &a.Email, &a.EmailKey, &a.Alias, &a.PublicKey, (*[]byte)(&a.Metadata),
		&a.PasswordHash, &a.IsAdmin, &a.IsBanned,
		&a.BanReason, &a.EmailVerified, &a.AvatarURL, &a.SignupMethod, &a.VaultQuota, &a.FreeTierOffered,
		(*time.Time)(&a.CreatedAt),
		(*time.Time)(&a.UpdatedAt), &a.BannedAt}
}

func scanAccount(row pgx.CollectableRow) (Account, error) {
	var account Account
	err := row.Scan(account.columns()...)
	return account, err
}
