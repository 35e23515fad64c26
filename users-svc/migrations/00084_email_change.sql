-- +goose Up
-- The address to which the user asked to change; null: no change is pending.
ALTER TABLE users ADD COLUMN pending_email text;
-- The address that a token changes the account to, or puts back.
ALTER TABLE mail_tokens ADD COLUMN email text;
ALTER TABLE mail_tokens DROP CONSTRAINT mail_tokens_purpose_check,
    ADD CONSTRAINT mail_tokens_purpose_check CHECK (purpose IN ('verify', 'reset', 'known', 'email', 'email_undo'));
-- Mails about a change. The previous release does not know their kinds: it must not take them, so not_before is infinity and due_at says when.
ALTER TABLE mail_jobs ADD COLUMN due_at timestamptz, ADD COLUMN user_id text REFERENCES users ON DELETE CASCADE, ADD COLUMN email text;
ALTER TABLE mail_jobs DROP CONSTRAINT mail_jobs_kind_check,
    ADD CONSTRAINT mail_jobs_kind_check CHECK (kind IN ('signup', 'verify', 'reset', 'email_change', 'email_notice'));
CREATE INDEX mail_jobs_due_at ON mail_jobs ((coalesce(due_at, not_before)));
CREATE INDEX mail_jobs_user ON mail_jobs (user_id) WHERE user_id IS NOT NULL;
