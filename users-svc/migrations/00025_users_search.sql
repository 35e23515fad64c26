-- +goose NO TRANSACTION
-- +goose Up
-- Outside of a transaction, so that the previous release writes to users meanwhile: 100,000 of them take half a minute on two busy cores. What a first try left
-- behind, when it was ended, is not valid. Without fastupdate no search pays for the sign-ups before it.
DROP INDEX IF EXISTS users_search;
CREATE INDEX CONCURRENTLY users_search ON users
    USING gin ((search_grams(lower(username) || E'\n' || email_key || E'\n' || lower(alias)) COLLATE "C")) WITH (fastupdate = off);
