-- +goose Up
CREATE TABLE passkeys (
    id              text        PRIMARY KEY CHECK (id ~ '^[0-9a-f]{24}$'),
    user_id         text        NOT NULL REFERENCES users ON DELETE CASCADE,
    rp_id           text        NOT NULL, -- relying party that it was made for
    credential_id   bytea       NOT NULL CONSTRAINT passkeys_credential UNIQUE,
    public_key      bytea       NOT NULL, -- COSE_Key (RFC 9052)
    sign_count      bigint      NOT NULL,
    transports      text[]      NOT NULL,
    backup_eligible boolean     NOT NULL,
    backed_up       boolean     NOT NULL,
    name            text        NOT NULL,
    created_at      timestamptz NOT NULL,
    last_used_at    timestamptz
);
CREATE INDEX passkeys_user ON passkeys (user_id);

-- Challenges of ceremonies that have begun: of registrations with the session that began them.
CREATE TABLE passkey_challenges (
    hash       bytea       PRIMARY KEY CHECK (length(hash) = 32), -- SHA-256
    session_id text        REFERENCES sessions ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
);
CREATE INDEX passkey_challenges_session ON passkey_challenges (session_id);
CREATE INDEX passkey_challenges_expiry ON passkey_challenges (expires_at);
