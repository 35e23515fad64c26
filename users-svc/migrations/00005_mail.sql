-- +goose Up
-- Mails that are still to be sent. A row holds no token: it is made when the mail is. There is one row for each kind and address, also for
-- addresses without an account, so that asking costs the same work for each.
CREATE TABLE mail_jobs (
    kind       text        NOT NULL CHECK (kind IN ('signup', 'verify', 'reset')),
    email_key  text        NOT NULL,
    attempts   int         NOT NULL DEFAULT 0,
    not_before timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (kind, email_key)
);
CREATE INDEX mail_jobs_due ON mail_jobs (not_before);

CREATE TABLE mail_tokens (
    hash       bytea       PRIMARY KEY CHECK (length(hash) = 32), -- SHA-256
    user_id    text        NOT NULL REFERENCES users ON DELETE CASCADE,
    purpose    text        NOT NULL CHECK (purpose IN ('verify', 'reset')),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX mail_tokens_user ON mail_tokens (user_id, purpose);
CREATE INDEX mail_tokens_age ON mail_tokens (expires_at);
