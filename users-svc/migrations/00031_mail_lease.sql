-- +goose Up
-- Until when a replica is at a mail. It was not_before that said so: then nobody could ask for a mail sooner than a growing pause ends.
ALTER TABLE mail_jobs ADD COLUMN leased_until timestamptz;
