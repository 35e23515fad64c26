-- +goose Up
CREATE TABLE two_factor (
    user_id            text        PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    secret             bytea       NOT NULL, -- the TOTP key, sealed
    enabled_at         timestamptz,          -- null: set up, but not verified yet
    last_step          bigint      NOT NULL DEFAULT 0, -- of the last code that was used: it and those before are refused
    require_for_tokens boolean     NOT NULL DEFAULT true,
    failures           integer     NOT NULL DEFAULT 0,
    failed_at          timestamptz NOT NULL, -- the last failure; older than the lock, the failures are forgotten
    created_at         timestamptz NOT NULL
);

-- A code is deleted when it is used. The hash is keyed with the account's TOTP key, because ten characters could be guessed from a plain one.
CREATE TABLE two_factor_backup_codes (
    user_id text  NOT NULL REFERENCES two_factor ON DELETE CASCADE,
    hash    bytea NOT NULL CHECK (length(hash) = 32), -- HMAC-SHA-256
    PRIMARY KEY (user_id, hash)
);

-- Sign-ins that have proved the password and still owe a code.
CREATE TABLE two_factor_logins (
    hash          bytea       PRIMARY KEY CHECK (length(hash) = 32), -- SHA-256 of the temporary token
    user_id       text        NOT NULL REFERENCES two_factor ON DELETE CASCADE,
    password_hash text        NOT NULL, -- that was proved; another one now means that the sign-in must begin again
    expires_at    timestamptz NOT NULL
);
CREATE INDEX two_factor_logins_expiry ON two_factor_logins (expires_at);
