-- +goose Up
CREATE TABLE signing_keys (
    id             text        PRIMARY KEY, -- kid
    public_key     bytea       NOT NULL CHECK (length(public_key) = 32),
    sealed_private bytea       NOT NULL, -- Ed25519 seed under the key-encryption key, the kid as associated data
    created_at     timestamptz NOT NULL,
    signs_from     timestamptz NOT NULL  -- published from created_at; signs until the next key's signs_from
);
