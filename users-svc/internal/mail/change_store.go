package mail

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/users-svc/internal/core"
	"github.com/realmgate/realmgate/users-svc/internal/secrets"
)

// EnqueueChange stores the two mails about a change of a user's address, in the transaction that
// requests the change: a link to the new address, which replaces one that is not sent yet, and a
// notice to oldEmail. Call Wake after the commit. Replicas of the previous release do not know
// these kinds and take no job that is never due by not_before.
func (o *Outbox) EnqueueChange(ctx context.Context, tx core.DBTX, userID, oldEmail string) error {
	_, err := tx.Exec(ctx, `INSERT INTO mail_jobs AS j
			(kind, email_key, not_before, created_at, due_at, user_id, email)
		VALUES ($1, $3, 'infinity', now(), now(), $3, NULL),
			($2, $3 || ' ' || $4, 'infinity', now(), now(), $3, $4)
		ON CONFLICT (kind, email_key) DO UPDATE SET attempts = 0, created_at = now(), due_at = least(j.due_at, now())`,
		KindEmailChange, KindEmailNotice, userID, oldEmail)
	return err
}

// RedeemedChange is the content of a redeemed token about a change of the address.
type RedeemedChange struct {
	UserID, Email string // the address to set
	Undo          bool   // it puts an earlier address back
}

// RedeemChange deletes a token of PurposeEmail or PurposeEmailUndo, and the tokens that its use
// makes void: those that change the address, and for an undo those with which a later address could
// be put back. It returns false when the token is not valid. It locks the user's row.
func (o *Outbox) RedeemChange(ctx context.Context, tx pgx.Tx, token string,
	now time.Time) (change RedeemedChange, valid bool, err error) {
	hash := secrets.HashToken(token)
	const condition = ` FROM mail_tokens WHERE hash = $1 AND purpose IN ('email', 'email_undo') AND expires_at > $2`
	if _, err := tx.Exec(ctx, `SELECT FROM users WHERE id = (SELECT user_id`+condition+`) FOR UPDATE`, hash,
		now); err != nil {
		return change, false, err
	}
	var issuedAt time.Time
	err = tx.QueryRow(ctx, `DELETE`+condition+` RETURNING user_id, email, purpose = 'email_undo', created_at`, hash, now).
		Scan(&change.UserID, &change.Email, &change.Undo, &issuedAt)
	if db.IsNoRows(err) {
		return change, false, nil
	}
	if err != nil {
		return change, false, err
	}
	_, err = tx.Exec(ctx, `DELETE FROM mail_tokens WHERE user_id = $1
		AND (purpose IN ('email', 'verify', 'reset') OR purpose = 'email_undo' AND $2 AND created_at >= $3)`,
		change.UserID, change.Undo, issuedAt)
	return change, true, err
}
