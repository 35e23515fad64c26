-- +goose NO TRANSACTION
-- +goose Up
-- The list of a user's history tells how many entries its filter matches. With the two columns that the filter asks for, those are counted in the
-- index alone: without, PostgreSQL looks at a row for each, or reads the history of everybody when a user has a tenth of it. The two bytes fit into the
-- room between two entries, so that the index is no larger. Outside of a transaction, so that logins write meanwhile; what a first try left behind, when
-- it was ended, is not valid.
DROP INDEX CONCURRENTLY IF EXISTS login_history_list;
CREATE INDEX CONCURRENTLY login_history_list ON login_history (user_id, id DESC) INCLUDE (security, failed);
DROP INDEX CONCURRENTLY IF EXISTS login_history_user;
