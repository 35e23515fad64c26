package mail

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/users-svc/internal/secrets"
)

// TokenRequest describes a mailed token to be issued.
type TokenRequest struct {
	UserID, Purpose string
	ttl             time.Duration // set by Compose
	CurrentHash     string        // the account's password hash
	SignupHash      *string       // the password hash of the sign-up that the mail answers; nil for none
	Email           *string       // the address that the token changes the account to; nil for none
}

// issueToken stores the hash of a new token and returns the token; issued is false when the account
// was sent a token for the same purpose within minInterval. A token for a sign-up carries the
// sign-up's password hash, and any other token that of the newest earlier token.
//
// A sign-up makes the passwords of earlier tokens unusable if they differ from its own, even when
// it gets no mail. Otherwise the reader of an older mail, who takes it for the answer to the newer
// sign-up, would set a password that another person chose.
func (o *Outbox) issueToken(ctx context.Context, request TokenRequest) (token string, issued bool, err error) {
	token = secrets.NewToken()
	err = db.InTx(ctx, o.Pool, func(tx pgx.Tx) error {
		now := o.Now()
		if _, err := tx.Exec(ctx, `SELECT FROM users WHERE id = $1 FOR KEY SHARE`, request.UserID); err != nil {
			return err
		}
		if request.SignupHash != nil {
			_, err := tx.Exec(ctx, `UPDATE mail_tokens SET password_hash = $4
				WHERE user_id = $1 AND purpose = $2 AND coalesce(password_hash, $5) <> $3`,
				request.UserID, request.Purpose, *request.SignupHash, o.unusableHash(), request.CurrentHash)
			if err != nil {
				return err
			}
		}
		tag, err := tx.Exec(ctx, `INSERT INTO mail_tokens
				(hash, user_id, purpose, created_at, expires_at, password_hash, email)
			SELECT $1, $2, $3, $4, $5, coalesce($7, (SELECT password_hash FROM mail_tokens
				WHERE user_id = $2 AND purpose = $3 ORDER BY created_at DESC LIMIT 1)), $8
			WHERE NOT EXISTS (SELECT FROM mail_tokens WHERE user_id = $2 AND purpose = $3 AND created_at > $6
				AND email IS NOT DISTINCT FROM $8)`,
			secrets.HashToken(token), request.UserID, request.Purpose, now, now.Add(request.ttl), now.Add(-minInterval),
			request.SignupHash, request.Email)
		issued = tag.RowsAffected() == 1
		return err
	})
	return token, issued, err
}

// TokenUser returns the user of a token without redeeming it, "" when the token is not valid.
func (o *Outbox) TokenUser(ctx context.Context, purpose, token string) (userID string, err error) {
	err = o.Pool.QueryRow(ctx, `SELECT user_id FROM mail_tokens WHERE hash = $1 AND purpose = $2 AND expires_at > $3`,
		secrets.HashToken(token), purpose, o.Now()).Scan(&userID)
	if db.IsNoRows(err) {
		err = nil
	}
	return userID, err
}

// Redeem deletes a token and all other tokens of its user and purpose. It returns the user, "" when
// the token is not valid, and the password hash that the token carries, "" for none. It locks the
// user's row.
func (o *Outbox) Redeem(ctx context.Context, tx pgx.Tx, purpose, token string, now time.Time) (userID,
	passwordHash string, err error) {
	const valid = ` FROM mail_tokens WHERE hash = $1 AND purpose = $2 AND expires_at > $3`
	// All transactions lock the user's row first, so that they cannot deadlock.
	if _, err := tx.Exec(ctx, `SELECT FROM users WHERE id = (SELECT user_id`+valid+`) FOR UPDATE`,
		secrets.HashToken(token),
		purpose, now); err != nil {
		return "", "", err
	}
	err = tx.QueryRow(ctx, `DELETE`+valid+` RETURNING user_id, coalesce(password_hash, '')`, secrets.HashToken(token),
		purpose,
		now).Scan(&userID, &passwordHash)
	if db.IsNoRows(err) {
		return "", "", nil
	}
	if err == nil {
		err = DropTokens(ctx, tx, userID, purpose)
	}
	return userID, passwordHash, err
}

// DropTokens deletes the tokens of a user for the purposes, or all tokens without purposes.
func DropTokens(ctx context.Context, tx pgx.Tx, userID string, purposes ...string) error {
	_, err := tx.Exec(ctx, `DELETE FROM mail_tokens
		WHERE user_id = $1 AND (cardinality($2::text[]) = 0 OR purpose = ANY ($2))`,
		userID, append([]string{}, purposes...))
	return err
}
