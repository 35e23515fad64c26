package mail

import (
	"context"

	"github.com/realmgate/realmgate/pkg/db"
	"github.com/realmgate/realmgate/users-svc/internal/secrets"
)

// All times of jobs come from the clock of the database, because replicas share the jobs.

// insertJob stores a job that is due now. If the job exists, it is due now and its attempts start
// again. If it exists for a sign-up with another password, the mail gets an unusable password: its
// reader cannot tell who chose the password, and has to reset it.
func (o *Outbox) insertJob(ctx context.Context, kind, emailKey, passwordHash string) error {
	_, err := o.Pool.Exec(ctx, `INSERT INTO mail_jobs AS j (kind, email_key, not_before, created_at, password_hash)
		VALUES ($1, $2, now(), now(), nullif($3, ''))
		ON CONFLICT (kind, email_key) DO UPDATE
		SET attempts = 0, not_before = least(j.not_before, now()), created_at = now(),
			password_hash = CASE WHEN j.password_hash IS NOT DISTINCT FROM excluded.password_hash
				THEN j.password_hash ELSE $4 END`,
		kind, emailKey, passwordHash, o.unusableHash())
	return err
}

// leaseJob returns a due job and reserves it for jobLease, so that no other replica takes it; false
// when no job is due. It sets not_before too, because replicas of the previous release read only
// that column.
func (o *Outbox) leaseJob(ctx context.Context) (Job, bool, error) {
	var job Job
	err := o.Pool.QueryRow(ctx, `UPDATE mail_jobs
		SET attempts = attempts + 1, leased_until = now() + $1::interval,
			not_before = CASE WHEN due_at IS NULL THEN now() + $1::interval ELSE not_before END
		WHERE (kind, email_key) IN (
			SELECT kind, email_key FROM mail_jobs
			WHERE coalesce(due_at, not_before) <= now() AND (leased_until IS NULL OR leased_until <= now())
			ORDER BY coalesce(due_at, not_before) LIMIT 1 FOR UPDATE SKIP LOCKED)
		RETURNING kind, email_key, coalesce(user_id, ''), coalesce(email, ''), password_hash, attempts, created_at`,
		jobLease).
		Scan(&job.Kind, &job.EmailKey, &job.UserID, &job.Email, &job.PasswordHash, &job.attempts, &job.requestedAt)
	if db.IsNoRows(err) {
		return job, false, nil
	}
	return job, err == nil, err
}

// retryLater schedules the next attempt after a pause that doubles each time, or deletes the job
// after maxAttempts. A job that was requested again meanwhile stays due. It deletes the token of
// the failed mail: else the next attempt would find that a mail was sent within minInterval.
func (o *Outbox) retryLater(ctx context.Context, job Job, token string) error {
	if job.attempts >= maxAttempts {
		o.mailsTotal.WithLabelValues(outcomeGivenUp).Inc()
		o.Log.Error("a mail is given up", "kind", job.Kind, "attempts", job.attempts)
		return o.giveUp(ctx, job, token)
	}
	o.mailsTotal.WithLabelValues(outcomeDelayed).Inc()
	if err := o.deleteToken(ctx, token); err != nil {
		return err
	}
	_, err := o.Pool.Exec(ctx, `UPDATE mail_jobs
		SET not_before = CASE WHEN due_at IS NULL AND created_at = $4 THEN now() + $3::interval ELSE not_before END,
			due_at = CASE WHEN created_at = $4 THEN CASE WHEN due_at IS NOT NULL THEN now() + $3::interval END ELSE due_at END,
			leased_until = NULL
		WHERE kind = $1 AND email_key = $2`,
		job.Kind, job.EmailKey, o.cfg.RetryAfter<<(job.attempts-1), job.requestedAt)
	return err
}

func (o *Outbox) deleteToken(ctx context.Context, token string) error {
	_, err := o.Pool.Exec(ctx, `DELETE FROM mail_tokens WHERE hash = $1`, secrets.HashToken(token))
	return err
}

// giveUp deletes a job and the token of its undelivered mail.
func (o *Outbox) giveUp(ctx context.Context, job Job, token string) error {
	if err := o.deleteToken(ctx, token); err != nil {
		return err
	}
	return o.finishJob(ctx, job)
}

// finishJob deletes a job. If the job was requested again meanwhile, perhaps by another sign-up, it
// ends the lease instead.
func (o *Outbox) finishJob(ctx context.Context, job Job) error {
	tag, err := o.Pool.Exec(ctx, `DELETE FROM mail_jobs WHERE kind = $1 AND email_key = $2 AND created_at = $3`,
		job.Kind, job.EmailKey, job.requestedAt)
	if err == nil && tag.RowsAffected() == 0 {
		_, err = o.Pool.Exec(ctx, `UPDATE mail_jobs SET leased_until = NULL WHERE kind = $1 AND email_key = $2`,
			job.Kind, job.EmailKey)
	}
	return err
}
