-- +goose Up
-- The users of accounts at other providers. Issuer and subject together name one user for ever;
-- the address is what the provider said at the last sign-in.
CREATE TABLE identities (
    id           text        PRIMARY KEY CHECK (id ~ '^[0-9a-f]{24}$'),
    user_id      text        NOT NULL REFERENCES users ON DELETE CASCADE,
    provider     text        NOT NULL,
    issuer       text        NOT NULL,
    subject      text        NOT NULL,
    email        text        NOT NULL,
    created_at   timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    CONSTRAINT identities_subject UNIQUE (issuer, subject)
);
CREATE INDEX identities_user ON identities (user_id);

-- Sign-ins that are at a provider.
CREATE TABLE oidc_flows (
    state_hash     bytea       PRIMARY KEY CHECK (length(state_hash) = 32), -- SHA-256
    browser_hash   bytea       NOT NULL CHECK (length(browser_hash) = 32), -- SHA-256 of the cookie
    provider       text        NOT NULL,
    redirect_uri   text        NOT NULL,
    code_challenge text        NOT NULL,
    client         text,
    invited        boolean     NOT NULL,
    code_failed    boolean     NOT NULL,
    expires_at     timestamptz NOT NULL
);
CREATE INDEX oidc_flows_expiry ON oidc_flows (expires_at);

-- Sign-ins that are back, until their code is exchanged. Unlinking the identity deletes them.
CREATE TABLE oidc_codes (
    hash           bytea       PRIMARY KEY CHECK (length(hash) = 32), -- SHA-256
    identity_id    text        NOT NULL REFERENCES identities ON DELETE CASCADE,
    redirect_uri   text        NOT NULL,
    code_challenge text        NOT NULL,
    client         text,
    expires_at     timestamptz NOT NULL
);
CREATE INDEX oidc_codes_identity ON oidc_codes (identity_id);
CREATE INDEX oidc_codes_expiry ON oidc_codes (expires_at);

-- Users at providers who may be linked to an account after its password was entered.
CREATE TABLE oidc_links (
    hash           bytea       PRIMARY KEY CHECK (length(hash) = 32), -- SHA-256
    user_id        text        NOT NULL REFERENCES users ON DELETE CASCADE,
    provider       text        NOT NULL,
    issuer         text        NOT NULL,
    subject        text        NOT NULL,
    email          text        NOT NULL,
    email_verified boolean     NOT NULL, -- at the provider
    client         text,
    expires_at     timestamptz NOT NULL
);
CREATE INDEX oidc_links_user ON oidc_links (user_id);
CREATE INDEX oidc_links_expiry ON oidc_links (expires_at);
