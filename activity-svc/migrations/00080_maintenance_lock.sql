-- +goose Up

-- Locked by the replica that does the work of all. It has no rows.
CREATE TABLE maintenance_lock ();
