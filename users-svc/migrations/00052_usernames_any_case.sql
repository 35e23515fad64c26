-- +goose NO TRANSACTION
-- +goose Up
-- From now on usernames are unique without regard to case. Of those that differ in case only, the oldest stays as it is, and the others get their id
-- into username_twin, so that they stay too. Outside of a transaction, so that people sign up meanwhile; each statement may be tried again.
ALTER TABLE users ADD COLUMN IF NOT EXISTS username_twin text NOT NULL DEFAULT '';
UPDATE users SET username_twin = id WHERE username_twin = ''
    AND EXISTS (SELECT FROM users o WHERE lower(o.username COLLATE "C") = lower(users.username COLLATE "C") AND o.id < users.id);
DROP INDEX CONCURRENTLY IF EXISTS users_username_folded;
CREATE UNIQUE INDEX CONCURRENTLY users_username_folded ON users (lower(username COLLATE "C"), username_twin);
