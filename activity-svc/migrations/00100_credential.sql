-- +goose Up

-- NULL in records of events of earlier releases, and in records that a replica of the previous release stores.
ALTER TABLE activity
    ADD COLUMN auth_id     bytea, -- 12 bytes: the id of the session or auth token
    ADD COLUMN request_id  text COLLATE "C",
    ADD COLUMN duration_ms integer,
    ADD COLUMN auth        smallint; -- 1: session, 2: auth token
