-- +goose NO TRANSACTION
-- +goose Up
-- A second factor that is taken away takes the sign-ins along that still owe its code: without the index each time all of them were read, with the user's
-- row locked. Outside of a transaction, so that people sign in meanwhile; what a first try left behind, when it was ended, is not valid.
DROP INDEX CONCURRENTLY IF EXISTS two_factor_logins_user;
CREATE INDEX CONCURRENTLY two_factor_logins_user ON two_factor_logins (user_id);
