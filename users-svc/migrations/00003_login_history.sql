-- +goose Up
CREATE TABLE login_history (
    id          text        PRIMARY KEY CHECK (id ~ '^[0-9a-f]{24}$'), -- carries its time: also the order of the list
    user_id     text        NOT NULL REFERENCES users ON DELETE CASCADE,
    event       text        NOT NULL,
    failed      boolean     NOT NULL DEFAULT false,
    security    boolean     NOT NULL DEFAULT false, -- anything but a login
    ip_address  text        NOT NULL,
    address_key text        NOT NULL, -- the address, or the /64 of an IPv6 address
    client      text,
    created_at  timestamptz NOT NULL
);
CREATE INDEX login_history_user ON login_history (user_id, id DESC);
CREATE INDEX login_history_age ON login_history (created_at);
CREATE INDEX login_history_known_address ON login_history (user_id, address_key) WHERE event = 'login' AND NOT failed;

-- Failed logins per account, or per name that no account has.
CREATE TABLE login_throttle (
    key           bytea       PRIMARY KEY CHECK (length(key) = 32),
    failures      int         NOT NULL,
    blocked_until timestamptz NOT NULL,
    forget_at     timestamptz NOT NULL
);
CREATE INDEX login_throttle_age ON login_throttle (forget_at);
