-- +goose Up
-- Failed sign-ins by where they came from, for operators: also those with a name that no account has.
CREATE TABLE failed_logins (
    address  text        NOT NULL, -- or the /64 of an IPv6 address
    hour     timestamptz NOT NULL,
    failures int         NOT NULL,
    unknown  int         NOT NULL, -- of them with a name that no account has
    last_at  timestamptz NOT NULL,
    PRIMARY KEY (address, hour)
);
CREATE INDEX failed_logins_age ON failed_logins (hour);
