-- +goose Up
-- When the user was last seen, of the sessions that were deleted for their age. Sessions that still have a row have the time themselves.
ALTER TABLE users ADD COLUMN last_seen_at timestamptz;
