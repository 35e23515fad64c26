package users

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/id"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

const accountColumns = `id, username, email, email_key, alias, public_key, metadata, password_hash, is_admin, is_banned, ban_reason,
	email_verified, avatar_url, signup_method, vault_quota, welcomed, created_at, updated_at, banned_at`

// columns are where accountColumns go.
func (a *account) columns() []any {
	return []any{&a.ID, &a.Username, &a.Email, &a.EmailKey, &a.Alias, &a.PublicKey, (*[]byte)(&a.Metadata),
		&a.PasswordHash, &a.IsAdmin, &a.IsBanned,
		&a.BanReason, &a.EmailVerified, &a.AvatarURL, &a.SignupMethod, &a.VaultQuota, &a.Welcomed, (*time.Time)(&a.CreatedAt),
		(*time.Time)(&a.UpdatedAt), &a.BannedAt}
}

func scanAccount(row pgx.CollectableRow) (account, error) {
	var a account
	err := row.Scan(a.columns()...)
	return a, err
}

// oneAccount returns the account that the rest of the query selects; USER_NOT_FOUND when there is
// none.
func oneAccount(ctx context.Context, q dbtx, rest string, args ...any) (account, error) {
	rows, err := q.Query(ctx, `SELECT `+accountColumns+` FROM users `+rest, args...)
	if err != nil {
		return account{}, err
	}
	a, err := pgx.CollectExactlyOneRow(rows, scanAccount)
	if db.NoRows(err) {
		return account{}, errUserNotFound()
	}
	return a, err
}

func accountByID(ctx context.Context, q dbtx, userID string) (account, error) {
	return oneAccount(ctx, q, `WHERE id = $1`, userID)
}

// lockAccount is accountByID with a lock on the row until the end of the transaction.
func lockAccount(ctx context.Context, tx pgx.Tx, userID string) (account, error) {
	return oneAccount(ctx, tx, `WHERE id = $1 FOR UPDATE`, userID)
}

const (
	usernameTries = 16
	// After shortTries a long suffix is taken: an address as common as info@ can use up the 65,536
	// short ones.
	shortTries = 8
)

// insertAccount creates an account; false when there is one with the address already,
// USERNAME_TAKEN when the name that was asked for is.
func insertAccount(ctx context.Context, q dbtx, n newAccount) (string, bool, error) {
	key, err := storedKey(ctx, q, n.Email)
	if err != nil {
		return "", false, err
	}
	for try := range usernameTries {
		userID, name := id.New(n.At), n.Username
		if name == "" {
			name = madeUsername(n.Email, try)
		}
		inserted, err := insertUser(ctx, q, userID, name, key, n)
		if err != nil || inserted == 1 {
			return userID, err == nil, err
		}
		var taken bool
		if err = q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM users WHERE email_key = $1)`, key).Scan(&taken); err != nil ||
			taken {
			return "", false, err
		}
		if n.Username != "" {
			return "", false, errUsernameTaken()
		}
	}
	return "", false, fmt.Errorf("no free username in %d tries", usernameTries)
}

func madeUsername(email string, try int) string {
	local, _, _ := strings.Cut(email, "@")
	suffix := make([]byte, 2)
	if try >= shortTries {
		suffix = make([]byte, 6)
	}
	_, _ = rand.Read(suffix) // never fails
	return local + "-" + hex.EncodeToString(suffix)
}

func insertUser(ctx context.Context, q dbtx, userID, username, emailKey string, n newAccount) (int64, error) {
	tag, err := q.Exec(ctx, `INSERT INTO users (id, username, email, email_key, alias, password_hash, is_admin, email_verified, signup_method,
			signup_region, signup_client, invited, signup_code_failed, created_at, updated_at, metadata)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14, coalesce($15, '{}'::bytea)) ON CONFLICT DO NOTHING`,
		userID, username, n.Email, emailKey, n.Alias, n.PasswordHash, n.Admin, n.Verified, n.Method,
		n.Region, n.Client, n.Invited, n.CodeFailed, n.At, []byte(n.Metadata))
	return tag.RowsAffected(), err
}

// unverifiedHash returns the password hash of the account with an address that is not verified; ""
// when there is none.
func unverifiedHash(ctx context.Context, q dbtx, address string) (string, error) {
	key, err := storedKey(ctx, q, address)
	if err != nil {
		return "", err
	}
	var hash string
	err = q.QueryRow(ctx, `SELECT coalesce((SELECT password_hash FROM users WHERE email_key = $1 AND NOT email_verified), '')`, key).Scan(&hash)
	return hash, err
}

// update applies p to the user, all or nothing. checkedHash is the hash that the current password
// was checked against, "" when it was not: a password that changed meanwhile is a wrong one.
// newHash replaces it. keep is the session that survives a change of the password.
func (a *accounts) update(ctx context.Context, userID string, p patch, checkedHash, newHash, keep string,
	by device) (updated, error) {
	var out updated
	var ch *sessionstate.Change
	err := db.InTx(ctx, a.pool, func(tx pgx.Tx) error {
		out, ch = updated{}, nil
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
		now, hash := a.now(), newHash
		if f.vouched {
			if hash == "" {
				hash = a.hasher.unknown()
			}
			if out.Revoked, _, err = revokeAccess(ctx, tx, userID, eventPasswordChanged, now); err != nil {
				return err
			}
		}
		if !p.identityPatch.empty() {
			if err := writeIdentity(ctx, tx, old, p.identityPatch, now); err != nil {
				return err
			}
		}
		if out.account, err = writePatch(ctx, tx, userID, p, f, hash, now); err != nil {
			return err
		}
		if p.Password != nil && !p.KeepTokens {
			tokens, err := revokeTokens(ctx, tx, userID, by, now)
			if err != nil {
				return err
			}
			out.Revoked.Tokens += tokens
		}
		events := append(f.events(), p.identityPatch.events(old)...)
		ended, change, err := a.consequences(ctx, tx, userID, p, events, keep, by, now)
		out.Revoked.Sessions += ended
		ch = change
		return err
	})
	if err == nil && ch != nil {
		a.changes.changed(ctx, *ch)
	}
	return out, err
}

// lockForUpdate locks the user, and all admins when the patch could take an admin away: so that of
// two admins who demote each other at once the second sees what the first did. Rows are locked in
// the order of their ids.
func lockForUpdate(ctx context.Context, tx pgx.Tx, userID string, p patch) (account, error) {
	if p.Admin != nil && !*p.Admin {
		if _, err := tx.Exec(ctx, `SELECT FROM users WHERE is_admin OR id = $1 ORDER BY id FOR UPDATE`, userID); err != nil {
			return account{}, err
		}
	}
	return lockAccount(ctx, tx, userID)
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

func writePatch(ctx context.Context, tx pgx.Tx, userID string, p patch, f flagChange, newHash string,
	now time.Time) (account, error) {
	if p.empty() {
		return accountByID(ctx, tx, userID)
	}
	_, err := tx.Exec(ctx, `UPDATE users SET alias = coalesce($2, alias), public_key = coalesce($3, public_key), metadata = coalesce($4, metadata),
			password_hash = coalesce(nullif($5, ''), password_hash), is_admin = $6, is_banned = $7,
			ban_reason = CASE WHEN NOT $7 THEN NULL WHEN $8::text IS NOT NULL THEN $8 ELSE ban_reason END,
			banned_at = CASE WHEN NOT $7 THEN NULL WHEN is_banned AND banned_at IS NOT NULL THEN banned_at ELSE $10 END,
			vault_quota = coalesce($9, vault_quota), updated_at = $10, email_verified = email_verified OR $11 WHERE id = $1`,
		userID, p.Alias, p.PublicKey, []byte(p.Metadata), newHash, f.admin, f.banned, p.BanReason, p.VaultQuota, now,
		p.Vouched)
	if err != nil {
		return account{}, err
	}
	return accountByID(ctx, tx, userID)
}

// consequences writes the history and ends sessions and links for a new password. It returns how
// many sessions it ended, and the change to announce, nil when the gateways need not know.
func (a *accounts) consequences(ctx context.Context, tx pgx.Tx, userID string, p patch, events []string, keep string,
	by device, now time.Time) (
	ended int64, change *sessionstate.Change, err error) {
	if p.Password != nil {
		events = append(events, eventPasswordChanged)
		if ended, err = endSessions(ctx, tx, userID, keep, eventPasswordChanged, now); err != nil {
			return 0, nil, err
		}
		if err := DropTokens(ctx, tx, userID, PurposeReset); err != nil {
			return 0, nil, err
		}
	}
	for _, event := range events {
		if err := remember(ctx, tx, now, happening{UserID: userID, Event: event, Device: by}); err != nil {
			return 0, nil, err
		}
	}
	if len(events) == 0 && p.VaultQuota == nil {
		return 0, nil, nil
	}
	ch, err := raiseVersion(ctx, tx, userID)
	return ended, &ch, err
}

// renewHash replaces a hash by a stronger one of the same password, and reports whether it did: the
// hash may have changed meanwhile.
func renewHash(ctx context.Context, q dbtx, userID, old, renewed string) (bool, error) {
	tag, err := q.Exec(ctx, `UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2`, userID, old,
		renewed)
	return tag.RowsAffected() > 0, err
}
