-- +goose Up
-- Backup codes that were used, with the hash that they had: sent again they are refused, but are no
-- guess. In a table of their own, because the previous release accepts whatever stands in
-- two_factor_backup_codes.
CREATE TABLE two_factor_used_codes (
    user_id text  NOT NULL REFERENCES two_factor ON DELETE CASCADE,
    hash    bytea NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (user_id, hash)
);
