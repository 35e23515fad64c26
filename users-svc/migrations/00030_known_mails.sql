-- +goose Up
-- A mail that says that there is an account already leaves a token, too, which nobody knows: so it is seen when the last one was sent.
ALTER TABLE mail_tokens DROP CONSTRAINT mail_tokens_purpose_check, ADD CONSTRAINT mail_tokens_purpose_check CHECK (purpose IN ('verify', 'reset', 'known'));
