-- +goose Up
-- When the session last proved a password or a one-time code. NULL: not since it was opened, which counts itself. A session that was opened without
-- either (by a device code, or by another provider) has -infinity.
ALTER TABLE sessions ADD COLUMN confirmed_at timestamptz;
