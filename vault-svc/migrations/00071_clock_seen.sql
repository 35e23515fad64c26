-- +goose Up

-- The database's time when a replica last saw it: a clock that is far ahead of it is not believed at once.
CREATE TABLE clock_seen (
    single  boolean     PRIMARY KEY DEFAULT true CONSTRAINT clock_seen_single CHECK (single),
    seen_at timestamptz NOT NULL
);

INSERT INTO clock_seen (seen_at) VALUES (clock_timestamp());
