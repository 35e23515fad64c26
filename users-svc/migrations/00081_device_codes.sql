-- +goose Up
-- Sign-ins of devices that a person approves in a browser (RFC 8628). A row is deleted when its device has signed in. Both codes are stored as SHA-256:
-- the user code is short, but good for nothing that a reader of this table could not do without it.
CREATE TABLE device_codes (
    hash             bytea       PRIMARY KEY CHECK (length(hash) = 32), -- of the device code
    user_code_hash   bytea       NOT NULL CONSTRAINT device_codes_user_code_key UNIQUE CHECK (length(user_code_hash) = 32),
    client_name      text,
    client           text,
    challenge        text, -- PKCE, S256 (RFC 7636); null: none
    ip_address       text        NOT NULL,
    created_at       timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL,
    polled_at        timestamptz, -- by the clock of the database
    denied           boolean     NOT NULL DEFAULT false,
    approver_id      text        REFERENCES users ON DELETE CASCADE, -- null: not approved yet
    approver_session text,
    CHECK ((approver_id IS NULL) = (approver_session IS NULL)),
    CHECK (NOT denied OR approver_id IS NULL)
);
CREATE INDEX device_codes_expiry ON device_codes (expires_at);
CREATE INDEX device_codes_approver ON device_codes (approver_id) WHERE approver_id IS NOT NULL;
