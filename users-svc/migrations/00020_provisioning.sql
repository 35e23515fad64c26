-- +goose Up
-- The free tier: an inventory of servers with a capacity counted in accounts, and what each account got from it.
CREATE TABLE servers (
    id         text        PRIMARY KEY CHECK (id ~ '^[0-9a-f]{24}$'),
    name       text        NOT NULL CONSTRAINT servers_name_key UNIQUE,
    region     text        NOT NULL,
    country    text        NOT NULL,
    city       text        NOT NULL,
    capacity   integer     NOT NULL,
    claimed    integer     NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    -- The last word on overselling, should a query ever be wrong.
    CONSTRAINT servers_not_oversold CHECK (claimed >= 0 AND claimed <= capacity)
);
CREATE INDEX servers_region ON servers (region);

-- What an account has claimed: one server at most, by its primary key.
CREATE TABLE server_claims (
    user_id    text        PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    server_id  text        NOT NULL REFERENCES servers,
    claimed_at timestamptz NOT NULL
);

CREATE TABLE projects (
    id         text        PRIMARY KEY CHECK (id ~ '^[0-9a-f]{24}$'),
    user_id    text        NOT NULL REFERENCES users ON DELETE CASCADE,
    alias      text        NOT NULL,
    is_default boolean     NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX projects_user ON projects (user_id, id DESC);
CREATE UNIQUE INDEX projects_one_default ON projects (user_id) WHERE is_default;

CREATE TABLE containers (
    id         text        PRIMARY KEY CHECK (id ~ '^[0-9a-f]{24}$'),
    user_id    text        NOT NULL REFERENCES users ON DELETE CASCADE,
    project_id text        NOT NULL REFERENCES projects ON DELETE CASCADE,
    server_id  text        NOT NULL REFERENCES servers,
    name       text        NOT NULL,
    status     text        NOT NULL,
    is_default boolean     NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX containers_user ON containers (user_id, id DESC);
CREATE UNIQUE INDEX containers_one_default ON containers (user_id) WHERE is_default;
