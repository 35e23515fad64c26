-- +goose Up
CREATE TABLE users (
    id                 text        PRIMARY KEY CHECK (id ~ '^[0-9a-f]{24}$'),
    username           text        NOT NULL CONSTRAINT users_username_key UNIQUE,
    email              text        NOT NULL, -- as it was given
    email_key          text        NOT NULL CONSTRAINT users_email_key UNIQUE, -- lower-cased by users-svc: the database's own rules depend on its locale
    alias              text        NOT NULL,
    public_key         text        CHECK (public_key ~ '^[0-9a-fA-F]{64}$'),
    metadata           bytea       NOT NULL DEFAULT '{}', -- compact JSON; jsonb cannot hold \u0000 and loses the order of the names
    password_hash      text        NOT NULL,
    is_admin           boolean     NOT NULL DEFAULT false,
    is_banned          boolean     NOT NULL DEFAULT false,
    ban_reason         text,
    email_verified     boolean     NOT NULL,
    avatar_url         text,
    signup_method      text        NOT NULL,
    signup_region      text,
    signup_client      text,
    invited            boolean     NOT NULL DEFAULT false, -- signed up with a valid invite code
    signup_code_failed boolean     NOT NULL DEFAULT false, -- signed up with an invite code that was not valid
    welcomed           boolean     NOT NULL DEFAULT false, -- has signed in, and was offered a free server then
    vault_quota        bigint      NOT NULL DEFAULT 0 CHECK (vault_quota >= 0), -- bytes; 0: the default of vault-svc
    state_version      bigint      NOT NULL DEFAULT 1, -- raised with every change that the gateways must hear of
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    CONSTRAINT users_admin_not_banned CHECK (NOT (is_admin AND is_banned))
);
CREATE INDEX users_admins ON users (id) WHERE is_admin;
