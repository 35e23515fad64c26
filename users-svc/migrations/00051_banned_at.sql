-- +goose Up
-- Since when an account is banned. NULL when it is not, and for a ban that the previous release makes.
ALTER TABLE users ADD COLUMN banned_at timestamptz;
UPDATE users SET banned_at = coalesce((SELECT max(created_at) FROM login_history h WHERE h.user_id = users.id AND h.event = 'banned'), updated_at)
WHERE is_banned;
