package account

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/users-svc/internal/mail"
)

// writeIdentity stores a new username, address or verification of a locked account. It returns 409
// USERNAME_TAKEN or EMAIL_TAKEN when another account has the name. A change of the address or its
// verification invalidates all mailed links, because they were sent to the old address.
func writeIdentity(ctx context.Context, tx pgx.Tx, old Account, patch identityPatch, now time.Time) error {
	if patch.Username != nil && *patch.Username != old.Username {
		if err := writeUsername(ctx, tx, old.ID, *patch.Username); err != nil {
			return err
		}
	}
	if patch.Email != nil {
		if err := WriteEmail(ctx, tx, old.ID, *patch.Email); err != nil {
			return err
		}
	}
	if patch.Email != nil || patch.EmailVerified != nil {
		if err := mail.DropTokens(ctx, tx, old.ID); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `UPDATE users SET email_verified = $2, updated_at = $3 WHERE id = $1`,
		old.ID, patch.verified(old.EmailVerified), now)
	return err
}

// writeUsername stores a username. It compares with all names, because some that differ only in
// case are older than the rule against that. When two requests want the same name at once, the
// index users_username_folded refuses one of them.
func writeUsername(ctx context.Context, tx pgx.Tx, userID, name string) error {
	var taken bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM users
		WHERE lower(username COLLATE "C") = lower($2::text COLLATE "C") AND id <> $1)`, userID, name).Scan(&taken)
	if err == nil && !taken {
		_, err = tx.Exec(ctx, `UPDATE users SET username = $2, username_twin = '' WHERE id = $1`, userID, name)
	}
	if c := db.Constraint(err); taken || c == "users_username_key" || c == "users_username_folded" {
		return errUsernameTaken()
	}
	return err
}

// WriteEmail stores the address of a locked account, and forgets a pending change of it. It returns
// 409 EMAIL_TAKEN when another account has the address.
func WriteEmail(ctx context.Context, tx pgx.Tx, userID, email string) error {
	key, err := StoredKey(ctx, tx, email)
	if err == nil {
		_, err = tx.Exec(ctx, `UPDATE users SET email = $2, email_key = $3, pending_email = NULL WHERE id = $1`, userID,
			email,
			key)
	}
	if db.Constraint(err) == "users_email_key" {
		return ErrEmailTaken()
	}
	return err
}
