package users

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/session"
)

// note remembers that a mail is wanted; one that is noted already stays as it is.
func (m *mails) note(ctx context.Context, kind, emailKey string) error {
	_, err := m.pool.Exec(ctx, `INSERT INTO mail_jobs (kind, email_key, not_before, created_at) VALUES ($1, $2, $3, $3) ON CONFLICT DO NOTHING`,
		kind, emailKey, m.now())
	return err
}

// lease takes a job that is due, so that no other replica takes it for a while.
func (m *mails) lease(ctx context.Context) (job, bool, error) {
	var j job
	now := m.now()
	err := m.pool.QueryRow(ctx, `UPDATE mail_jobs SET attempts = attempts + 1, not_before = $2 WHERE (kind, email_key) IN (
			SELECT kind, email_key FROM mail_jobs WHERE not_before <= $1 ORDER BY not_before LIMIT 1 FOR UPDATE SKIP LOCKED)
		RETURNING kind, email_key, attempts, created_at`, now, now.Add(mailLease)).Scan(&j.kind, &j.emailKey, &j.attempts, &j.createdAt)
	if db.NoRows(err) {
		return j, false, nil
	}
	return j, err == nil, err
}

// postpone lets a job wait twice as long as the last time, or gives it up. The token that nobody got is deleted: else the next attempt would
// take it for a mail that was sent just now.
func (m *mails) postpone(ctx context.Context, j job, token string) error {
	if _, err := m.pool.Exec(ctx, `DELETE FROM mail_tokens WHERE hash = $1`, tokenHash(token)); err != nil {
		return err
	}
	if j.attempts >= mailAttempts {
		m.log.Error("a mail is given up", "kind", j.kind, "attempts", j.attempts)
		return m.done(ctx, j)
	}
	_, err := m.pool.Exec(ctx, `UPDATE mail_jobs SET not_before = $3 WHERE kind = $1 AND email_key = $2`,
		j.kind, j.emailKey, m.now().Add(m.cfg.Mail.RetryAfter<<(j.attempts-1)))
	return err
}

func (m *mails) done(ctx context.Context, j job) error {
	_, err := m.pool.Exec(ctx, `DELETE FROM mail_jobs WHERE kind = $1 AND email_key = $2`, j.kind, j.emailKey)
	return err
}

// makeToken keeps the hash of a new token, unless the account was sent one for the same purpose just now.
func (m *mails) makeToken(ctx context.Context, userID, purpose, token string, ttl time.Duration) (bool, error) {
	now := m.now()
	tag, err := m.pool.Exec(ctx, `INSERT INTO mail_tokens (hash, user_id, purpose, created_at, expires_at) SELECT $1, $2, $3, $4, $5
		WHERE NOT EXISTS (SELECT FROM mail_tokens WHERE user_id = $2 AND purpose = $3 AND created_at > $6)`,
		tokenHash(token), userID, purpose, now, now.Add(ttl), now.Add(-mailPause))
	return tag.RowsAffected() == 1, err
}

// accountOf returns the account that a token which is good was made for; USER_NOT_FOUND when it is not good.
func (m *mails) accountOf(ctx context.Context, purpose, token string) (account, error) {
	return oneAccount(ctx, m.pool, `WHERE id = (SELECT user_id FROM mail_tokens WHERE hash = $1 AND purpose = $2 AND expires_at > $3)`,
		tokenHash(token), purpose, m.now())
}

// spend deletes a token and all others of its user and purpose, and returns the user; "" when the token is none that is good.
func (m *mails) spend(ctx context.Context, tx pgx.Tx, purpose, token string, now time.Time) (string, error) {
	var userID string
	err := tx.QueryRow(ctx, `DELETE FROM mail_tokens WHERE hash = $1 AND purpose = $2 AND expires_at > $3 RETURNING user_id`,
		tokenHash(token), purpose, now).Scan(&userID)
	if db.NoRows(err) {
		return "", nil
	}
	if err == nil {
		_, err = tx.Exec(ctx, `DELETE FROM mail_tokens WHERE user_id = $1 AND purpose = $2`, userID, purpose)
	}
	return userID, err
}

// verify spends a token and marks its user's address as verified.
func (m *mails) verify(ctx context.Context, token string, d device) (email string, err error) {
	err = db.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		now := m.now()
		userID, err := m.spend(ctx, tx, purposeVerify, token, now)
		if err != nil {
			return err
		}
		if userID == "" {
			return errVerificationToken()
		}
		if err := tx.QueryRow(ctx, `UPDATE users SET email_verified = true, updated_at = $2 WHERE id = $1 RETURNING email`, userID, now).Scan(&email); err != nil {
			return err
		}
		return remember(ctx, tx, now, happening{UserID: userID, Event: eventEmailVerified, Device: d})
	})
	return email, err
}

// useReset spends a token, sets the password and ends every session. Whoever reads the mail has the address, so it is verified too.
func (m *mails) useReset(ctx context.Context, token, hash string, d device) error {
	var ch session.Change
	err := db.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		now := m.now()
		userID, err := m.spend(ctx, tx, purposeReset, token, now)
		if err != nil {
			return err
		}
		if userID == "" {
			return errResetToken()
		}
		if _, err := tx.Exec(ctx, `UPDATE users SET password_hash = $2, email_verified = true, updated_at = $3 WHERE id = $1`, userID, hash, now); err != nil {
			return err
		}
		if _, err := endSessions(ctx, tx, userID, "", eventPasswordReset, now); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM login_throttle WHERE key = $1`, accountKey(userID)); err != nil {
			return err
		}
		if err := remember(ctx, tx, now, happening{UserID: userID, Event: eventPasswordReset, Device: d}); err != nil {
			return err
		}
		ch, err = raiseVersion(ctx, tx, userID)
		return err
	})
	if err == nil {
		m.notify.changed(ctx, ch)
	}
	return err
}
