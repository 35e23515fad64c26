-- +goose Up

-- An auth token for a part of the vault. The previous release knows only vault_access, so that is false for such a token, and scoped_vault_access says
-- whether it may use its part: a replica of that release lets it not into the vault at all. The constraint holds when that release changes a token. (It
-- cannot take vault_access from such a token, which it believes not to have it: a replica of this release must do that.)
ALTER TABLE auth_tokens
    ADD COLUMN vault_read_only     boolean NOT NULL DEFAULT false,
    ADD COLUMN vault_prefixes      text[]  NOT NULL DEFAULT '{}', -- empty: all keys
    ADD COLUMN scoped_vault_access boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT auth_tokens_vault_scope CHECK (CASE WHEN vault_read_only OR vault_prefixes <> '{}' THEN NOT vault_access ELSE NOT scoped_vault_access END);
