-- +goose Up
CREATE TABLE sessions (
    id           text        PRIMARY KEY CHECK (id ~ '^[0-9a-f]{24}$'),
    user_id      text        NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at   timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL, -- of its refresh token; moves with each refresh
    max_at       timestamptz NOT NULL, -- never moves
    ip_address   text        NOT NULL,
    user_agent   text        NOT NULL,
    client       text,
    ended_at     timestamptz,
    ended_why    text,
    CHECK ((ended_at IS NULL) = (ended_why IS NULL))
);
CREATE INDEX sessions_user ON sessions (user_id, created_at) WHERE ended_at IS NULL;
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- The chain of a session's refresh tokens. A token's successor is HMAC-SHA-256(token, salt), so that whoever holds a token that was just
-- replaced can be given its successor again, although the table holds no token.
CREATE TABLE refresh_tokens (
    hash        bytea       PRIMARY KEY CHECK (length(hash) = 32), -- SHA-256
    session_id  text        NOT NULL REFERENCES sessions ON DELETE CASCADE,
    salt        bytea       NOT NULL,
    created_at  timestamptz NOT NULL,
    replaced_at timestamptz
);
CREATE UNIQUE INDEX refresh_tokens_current ON refresh_tokens (session_id) WHERE replaced_at IS NULL;
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);
