-- +goose Up

-- The id of this installation, by which its events are told from those of others on the same NATS server. A copy
-- of the database that is to run beside the original needs another one: UPDATE installation SET id = ….
CREATE TABLE installation (
    single   boolean PRIMARY KEY DEFAULT true CONSTRAINT installation_single CHECK (single),
    id       text    NOT NULL CONSTRAINT installation_id CHECK (id ~ '^[0-9a-f]{24}$'),
    upgraded boolean NOT NULL -- events may be in the stream of earlier releases, which had no id
);

INSERT INTO installation (id, upgraded)
SELECT left(replace(gen_random_uuid()::text, '-', ''), 24), before > '1970-01-02Z' FROM activity_counted;
