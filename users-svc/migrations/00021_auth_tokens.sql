-- +goose Up
CREATE TABLE auth_tokens (
    id                  text        PRIMARY KEY CHECK (id ~ '^[0-9a-f]{24}$'),
    user_id             text        NOT NULL REFERENCES users ON DELETE CASCADE,
    alias               text        NOT NULL,
    hash                bytea       NOT NULL CONSTRAINT auth_tokens_hash_key UNIQUE CHECK (length(hash) = 32), -- SHA-256 of the whole token
    public_key          text,
    public_storage      bytea, -- compact JSON, as users.metadata
    ip_whitelist        text[]      NOT NULL, -- empty: any address
    realm_ids           text[]      NOT NULL, -- empty: any realm
    allow_no_realm      boolean     NOT NULL,
    permissions         bytea       NOT NULL, -- compact JSON: a tree of booleans
    expires_at          timestamptz, -- null: never
    is_enabled          boolean     NOT NULL,
    vault_access        boolean     NOT NULL,
    event_access        boolean     NOT NULL,
    -- What a token made goes with it: whoever deletes a token that leaked must not have to look for more.
    created_by_token_id text        REFERENCES auth_tokens ON DELETE CASCADE,
    delegation_depth    integer     NOT NULL CHECK (delegation_depth >= 0),
    last_used_at        timestamptz,
    last_used_ip        text,
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    CONSTRAINT auth_tokens_alias_key UNIQUE (user_id, alias),
    CONSTRAINT auth_tokens_delegation CHECK ((created_by_token_id IS NULL) = (delegation_depth = 0))
);
CREATE INDEX auth_tokens_user ON auth_tokens (user_id, id DESC);
CREATE INDEX auth_tokens_maker ON auth_tokens (created_by_token_id) WHERE created_by_token_id IS NOT NULL;
