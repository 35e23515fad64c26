-- +goose NO TRANSACTION
-- +goose Up
-- Which kinds there are is asked with failed sign-ins. Outside of a transaction, so that the
-- previous release writes to users meanwhile; what a first try left behind, when it was ended, is
-- not valid.
DROP INDEX CONCURRENTLY IF EXISTS users_hash_kind;
CREATE INDEX CONCURRENTLY users_hash_kind ON users (password_hash_kind(password_hash));
