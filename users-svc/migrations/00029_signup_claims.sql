-- +goose Up
-- The hash of the password that was given at the sign-up which a mail answers. Anybody can sign up with anybody's address: the password of the one who
-- can read the mail counts, not that of the first. NULL: the account's own, as it was before this release.
ALTER TABLE mail_jobs ADD COLUMN password_hash text;
ALTER TABLE mail_tokens ADD COLUMN password_hash text;
