package users

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/pkg/netaddr"
	"github.com/realmgate/realmgate/pkg/sessionstate"
)

// Replicas share the queue of mails, so its times are the database's.

// note remembers that a mail is wanted, now: one that waits for its next try begins anew. One mail
// for two sign-ups with different passwords carries one that nobody knows: its reader cannot tell
// whose it would be, and has to ask for a new one.
func (m *mails) note(ctx context.Context, kind, emailKey, passwordHash string) error {
	_, err := m.pool.Exec(ctx, `INSERT INTO mail_jobs AS j (kind, email_key, not_before, created_at, password_hash) VALUES ($1, $2, now(), now(), nullif($3, ''))
		ON CONFLICT (kind, email_key) DO UPDATE SET attempts = 0, not_before = least(j.not_before, now()), created_at = now(),
			password_hash = CASE WHEN j.password_hash IS NOT DISTINCT FROM excluded.password_hash THEN j.password_hash ELSE $4 END`,
		kind, emailKey, passwordHash, m.hasher.unknown())
	return err
}

// lease takes a job that is due, so that no other replica takes it for a while; the release before
// this one sees so in not_before.
func (m *mails) lease(ctx context.Context) (job, bool, error) {
	var j job
	err := m.pool.QueryRow(ctx, `UPDATE mail_jobs SET attempts = attempts + 1, not_before = now() + $1::interval, leased_until = now() + $1::interval
		WHERE (kind, email_key) IN (
			SELECT kind, email_key FROM mail_jobs WHERE not_before <= now() AND (leased_until IS NULL OR leased_until <= now())
			ORDER BY not_before LIMIT 1 FOR UPDATE SKIP LOCKED)
		RETURNING kind, email_key, password_hash, attempts, created_at`, mailLease).
		Scan(&j.kind, &j.emailKey, &j.passwordHash, &j.attempts, &j.createdAt)
	if db.NoRows(err) {
		return j, false, nil
	}
	return j, err == nil, err
}

// postpone lets a job wait twice as long as the last time, or gives it up, unless somebody asked
// for it meanwhile. The token that nobody got is deleted: else the next attempt would take it for a
// mail that was sent just now.
func (m *mails) postpone(ctx context.Context, j job, token string) error {
	if j.attempts >= mailAttempts {
		m.tries.WithLabelValues(mailGivenUp).Inc()
		m.log.Error("a mail is given up", "kind", j.kind, "attempts", j.attempts)
		return m.giveUp(ctx, j, token)
	}
	m.tries.WithLabelValues(mailDelayed).Inc()
	if err := m.deleteToken(ctx, token); err != nil {
		return err
	}
	_, err := m.pool.Exec(ctx, `UPDATE mail_jobs SET not_before = CASE WHEN created_at = $4 THEN now() + $3::interval ELSE not_before END, leased_until = NULL
		WHERE kind = $1 AND email_key = $2`, j.kind, j.emailKey, m.cfg.Mail.RetryAfter<<(j.attempts-1), j.createdAt)
	return err
}

func (m *mails) deleteToken(ctx context.Context, token string) error {
	_, err := m.pool.Exec(ctx, `DELETE FROM mail_tokens WHERE hash = $1`, tokenHash(token))
	return err
}

// giveUp deletes a job and the token that nobody got.
func (m *mails) giveUp(ctx context.Context, j job, token string) error {
	if err := m.deleteToken(ctx, token); err != nil {
		return err
	}
	return m.done(ctx, j)
}

// done deletes a job, unless somebody asked for it meanwhile: it may be another sign-up's, too.
func (m *mails) done(ctx context.Context, j job) error {
	tag, err := m.pool.Exec(ctx, `DELETE FROM mail_jobs WHERE kind = $1 AND email_key = $2 AND created_at = $3`, j.kind,
		j.emailKey, j.createdAt)
	if err == nil && tag.RowsAffected() == 0 {
		_, err = m.pool.Exec(ctx, `UPDATE mail_jobs SET leased_until = NULL WHERE kind = $1 AND email_key = $2`, j.kind,
			j.emailKey)
	}
	return err
}

// makeToken keeps the hash of a new token, unless the account was sent one for the same purpose
// just now. One that no sign-up asked for carries the password of the newest that did.
//
// Links of sign-ups with another password than this one's then carry one that nobody knows: also
// when this one gets no mail. So the reader of an older mail, who may take it for the answer to the
// newer sign-up, lets nobody in.
func (m *mails) makeToken(ctx context.Context, found account, purpose, token string, ttl time.Duration,
	passwordHash *string) (made bool, err error) {
	err = db.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		now := m.now()
		if _, err := tx.Exec(ctx, `SELECT FROM users WHERE id = $1 FOR KEY SHARE`, found.ID); err != nil {
			return err
		}
		if passwordHash != nil {
			_, err := tx.Exec(ctx, `UPDATE mail_tokens SET password_hash = $4 WHERE user_id = $1 AND purpose = $2 AND coalesce(password_hash, $5) <> $3`,
				found.ID, purpose, *passwordHash, m.hasher.unknown(), found.PasswordHash)
			if err != nil {
				return err
			}
		}
		tag, err := tx.Exec(ctx, `INSERT INTO mail_tokens (hash, user_id, purpose, created_at, expires_at, password_hash)
			SELECT $1, $2, $3, $4, $5, coalesce($7, (SELECT password_hash FROM mail_tokens WHERE user_id = $2 AND purpose = $3 ORDER BY created_at DESC LIMIT 1))
			WHERE NOT EXISTS (SELECT FROM mail_tokens WHERE user_id = $2 AND purpose = $3 AND created_at > $6)`,
			tokenHash(token), found.ID, purpose, now, now.Add(ttl), now.Add(-mailPause), passwordHash)
		made = tag.RowsAffected() == 1
		return err
	})
	return made, err
}

// accountOf returns the account that a token which is good was made for; USER_NOT_FOUND when it is
// not good.
func (m *mails) accountOf(ctx context.Context, purpose, token string) (account, error) {
	return oneAccount(ctx, m.pool,
		`WHERE id = (SELECT user_id FROM mail_tokens WHERE hash = $1 AND purpose = $2 AND expires_at > $3)`,
		tokenHash(token), purpose, m.now())
}

// spend deletes a token and all others of its user and purpose, and returns the user, "" when the
// token is none that is good, and the hash of the password that it carries, "" for none.
func (m *mails) spend(ctx context.Context, tx pgx.Tx, purpose, token string, now time.Time) (userID,
	passwordHash string, err error) {
	const good = ` FROM mail_tokens WHERE hash = $1 AND purpose = $2 AND expires_at > $3`
	// The user's row first, as everywhere.
	if _, err := tx.Exec(ctx, `SELECT FROM users WHERE id = (SELECT user_id`+good+`) FOR UPDATE`, tokenHash(token),
		purpose, now); err != nil {
		return "", "", err
	}
	err = tx.QueryRow(ctx, `DELETE`+good+` RETURNING user_id, coalesce(password_hash, '')`, tokenHash(token), purpose,
		now).Scan(&userID, &passwordHash)
	if db.NoRows(err) {
		return "", "", nil
	}
	if err == nil {
		_, err = tx.Exec(ctx, `DELETE FROM mail_tokens WHERE user_id = $1 AND purpose = $2`, userID, purpose)
	}
	return userID, passwordHash, err
}

// verify spends a token and marks its user's address as verified. When the sign-up that the mail
// answers gave another password than the account has, it was not the first, and the account becomes
// that of the one who can read the mail. One that was used before has no password then: the reader
// may be its user, and the sign-up a stranger's. Nor has one that earlier releases made an admin
// before its address was verified.
func (m *mails) verify(ctx context.Context, token string, d device) (email string, err error) {
	var ch *sessionstate.Change
	err = db.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		ch = nil
		now := m.now()
		userID, hash, err := m.spend(ctx, tx, purposeVerify, token, now)
		if err != nil {
			return err
		}
		if userID == "" {
			return errVerificationToken()
		}
		found, err := accountByID(ctx, tx, userID)
		if err != nil {
			return err
		}
		email = found.Email
		if !found.EmailVerified && (hash != "" && hash != found.PasswordHash || found.IsAdmin) {
			_, changed, err := revokeAccess(ctx, tx, userID, eventPasswordChanged, now)
			if err != nil {
				return err
			}
			ch, found.PasswordHash = &changed, hash
			if found.Welcomed || found.IsAdmin {
				found.PasswordHash = m.hasher.unknown()
			}
		}
		_, err = tx.Exec(ctx, `UPDATE users SET email_verified = true, password_hash = $2, updated_at = $3 WHERE id = $1`,
			userID, found.PasswordHash, now)
		if err != nil {
			return err
		}
		return remember(ctx, tx, now, happening{UserID: userID, Event: eventEmailVerified, Device: d})
	})
	if err == nil && ch != nil {
		m.notify.changed(ctx, *ch)
	}
	return email, err
}

// useReset spends a token, sets the password and ends every session and auth token: who uses the
// account may be an intruder, whom its owner locks out. Whoever reads the mail has the address, so
// it is verified too. Until then the account was anybody's, so that its second factor goes as well;
// that of a verified account is its owner's and stays.
func (m *mails) useReset(ctx context.Context, token, hash string, d device) error {
	var ch sessionstate.Change
	err := db.InTx(ctx, m.pool, func(tx pgx.Tx) error {
		now := m.now()
		userID, _, err := m.spend(ctx, tx, purposeReset, token, now)
		if err != nil {
			return err
		}
		if userID == "" {
			return errResetToken()
		}
		found, err := accountByID(ctx, tx, userID)
		if err != nil {
			return err
		}
		if _, err := revokeTokens(ctx, tx, userID, d, now); err != nil {
			return err
		}
		if found.EmailVerified {
			if ch, err = raiseVersion(ctx, tx, userID); err == nil {
				_, err = endSessions(ctx, tx, userID, "", eventPasswordReset, now)
			}
		} else {
			_, ch, err = revokeAccess(ctx, tx, userID, eventPasswordReset, now)
		}
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE users SET password_hash = $2, email_verified = true, updated_at = $3 WHERE id = $1`,
			userID, hash, now); err != nil {
			return err
		}
		counts := [][]byte{accountKey(userID), knownKey(userID, netaddr.NetworkOf(d.Address))}
		if _, err := tx.Exec(ctx, `DELETE FROM login_throttle WHERE key = ANY ($1)`, counts); err != nil {
			return err
		}
		return remember(ctx, tx, now, happening{UserID: userID, Event: eventPasswordReset, Device: d})
	})
	if err == nil {
		m.notify.changed(ctx, ch)
	}
	return err
}
