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

const accountColumns = `id, username, email, email_key, alias, public_key, metadata, password_hash, is_admin, is_banned, ban_reason,
	email_verified, avatar_url, signup_method, vault_quota, welcomed, created_at, updated_at, banned_at`

// columns are where accountColumns go.
func (a *Account) columns() []any {
	return []any{&a.ID, &a.Username, &a.Email, &a.EmailKey, &a.Alias, &a.PublicKey, (*[]byte)(&a.Metadata),
		&a.PasswordHash, &a.IsAdmin, &a.IsBanned,
		&a.BanReason, &a.EmailVerified, &a.AvatarURL, &a.SignupMethod, &a.VaultQuota, &a.Welcomed, (*time.Time)(&a.CreatedAt),
		(*time.Time)(&a.UpdatedAt), &a.BannedAt}
}

func scanAccount(row pgx.CollectableRow) (Account, error) {
	var a Account
	err := row.Scan(a.columns()...)
	return a, err
}

// findOne returns the account that the rest of the query selects; USER_NOT_FOUND when there is
// none.
func findOne(ctx context.Context, q core.DBTX, rest string, args ...any) (Account, error) {
	rows, err := q.Query(ctx, `SELECT `+accountColumns+` FROM users `+rest, args...)
	if err != nil {
		return Account{}, err
	}
	a, err := pgx.CollectExactlyOneRow(rows, scanAccount)
	if db.NoRows(err) {
		return Account{}, core.UserNotFound()
	}
	return a, err
}

func ByID(ctx context.Context, q core.DBTX, userID string) (Account, error) {
	return findOne(ctx, q, `WHERE id = $1`, userID)
}

// LockByID is ByID with a lock on the row until the end of the transaction.
func LockByID(ctx context.Context, tx pgx.Tx, userID string) (Account, error) {
	return findOne(ctx, tx, `WHERE id = $1 FOR UPDATE`, userID)
}

// Update applies p to the user, all or nothing. checkedHash is the hash that the current password
// was checked against, "" when it was not: a password that changed meanwhile is a wrong one.
// newHash replaces it. keep is the session that survives a change of the password.
func (a *Service) Update(ctx context.Context, userID string, p Patch, checkedHash, newHash, keep string,
	by request.Device) (Updated, error) {
	var out Updated
	var ch *sessionstate.Change
	err := db.InTx(ctx, a.Pool, func(tx pgx.Tx) error {
		out, ch = Updated{}, nil
		old, err := lockForUpdate(ctx, tx, userID, p)
		if err != nil {
			return err
		}
		if checkedHash != "" && old.PasswordHash != checkedHash {
			return errWrongPassword()
		}
		f, err := p.flags(old)
		if err != nil {
			return err
		}
		if f.revoked {
			if err := refuseLastAdmin(ctx, tx); err != nil {
				return err
			}
		}
		out.Changed = f
		now, hash := a.Now(), newHash
		if f.Vouched {
			if hash == "" {
				hash = a.Hasher.Unusable()
			}
			if out.Revoked, _, err = RevokeAccess(ctx, tx, userID, history.PasswordChanged, now); err != nil {
				return err
			}
		}
		if !p.identityPatch.empty() {
			if err := writeIdentity(ctx, tx, old, p.identityPatch, now); err != nil {
				return err
			}
		}
		if out.Account, err = writePatch(ctx, tx, userID, p, f, hash, now); err != nil {
			return err
		}
		if p.Password != nil && !p.KeepTokens {
			tokens, err := apitoken.RevokeAll(ctx, tx, userID, by, now)
			if err != nil {
				return err
			}
			out.Revoked.Tokens += tokens
		}
		events := append(f.events(), p.identityPatch.events(old)...)
		ended, change, err := a.applyConsequences(ctx, tx, userID, p, events, keep, by, now)
		out.Revoked.Sessions += ended
		ch = change
		return err
	})
	if err == nil && ch != nil {
		a.Changes.Notify(ctx, *ch)
	}
	return out, err
}

// lockForUpdate locks the user, and all admins when the patch could take an admin away: so that of
// two admins who demote each other at once the second sees what the first did. Rows are locked in
// the order of their ids.
func lockForUpdate(ctx context.Context, tx pgx.Tx, userID string, p Patch) (Account, error) {
	if p.Admin != nil && !*p.Admin {
		if _, err := tx.Exec(ctx, `SELECT FROM users WHERE is_admin OR id = $1 ORDER BY id FOR UPDATE`, userID); err != nil {
			return Account{}, err
		}
	}
	return LockByID(ctx, tx, userID)
}

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

func writePatch(ctx context.Context, tx pgx.Tx, userID string, p Patch, f flagChanges, newHash string,
	now time.Time) (Account, error) {
	if p.empty() {
		return ByID(ctx, tx, userID)
	}
	_, err := tx.Exec(ctx, `UPDATE users SET alias = coalesce($2, alias), public_key = coalesce($3, public_key), metadata = coalesce($4, metadata),
			password_hash = coalesce(nullif($5, ''), password_hash), is_admin = $6, is_banned = $7,
			ban_reason = CASE WHEN NOT $7 THEN NULL WHEN $8::text IS NOT NULL THEN $8 ELSE ban_reason END,
			banned_at = CASE WHEN NOT $7 THEN NULL WHEN is_banned AND banned_at IS NOT NULL THEN banned_at ELSE $10 END,
			vault_quota = coalesce($9, vault_quota), updated_at = $10, email_verified = email_verified OR $11 WHERE id = $1`,
		userID, p.Alias, p.PublicKey, []byte(p.Metadata), newHash, f.admin, f.banned, p.BanReason, p.VaultQuota, now,
		p.EmailVouched)
	if err != nil {
		return Account{}, err
	}
	return ByID(ctx, tx, userID)
}

// applyConsequences writes the history and ends sessions and links for a new password. It returns
// how many sessions it ended, and the change to announce, nil when the gateways need not know.
func (a *Service) applyConsequences(ctx context.Context, tx pgx.Tx, userID string, p Patch, events []string,
	keep string,
	by request.Device, now time.Time) (
	ended int64, change *sessionstate.Change, err error) {
	if p.Password != nil {
		events = append(events, history.PasswordChanged)
		if ended, err = session.EndAllTx(ctx, tx, userID, keep, history.PasswordChanged, now); err != nil {
			return 0, nil, err
		}
		if err := mail.DropTokens(ctx, tx, userID, mail.PurposeReset); err != nil {
			return 0, nil, err
		}
	}
	for _, event := range events {
		if err := history.Record(ctx, tx, now, history.Event{UserID: userID, Kind: event, Device: by}); err != nil {
			return 0, nil, err
		}
	}
	if len(events) == 0 && p.VaultQuota == nil {
		return 0, nil, nil
	}
	ch, err := core.BumpVersion(ctx, tx, userID)
	return ended, &ch, err
}

// RenewHash replaces a hash by a stronger one of the same password, and reports whether it did: the
// hash may have changed meanwhile.
func RenewHash(ctx context.Context, q core.DBTX, userID, old, renewed string) (bool, error) {
	tag, err := q.Exec(ctx, `UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2`, userID, old,
		renewed)
	return tag.RowsAffected() > 0, err
}
