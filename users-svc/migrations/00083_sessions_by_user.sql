-- +goose NO TRANSACTION
-- +goose Up
-- All sessions of a user, ended ones as well: for when the user was last seen, and for the deletion of the account. Outside of a transaction, so that
-- people sign in meanwhile; what a first try left behind, when it was ended, is not valid.
DROP INDEX CONCURRENTLY IF EXISTS sessions_all_of_user;
CREATE INDEX CONCURRENTLY sessions_all_of_user ON sessions (user_id);
