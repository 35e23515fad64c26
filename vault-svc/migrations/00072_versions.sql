-- +goose Up

-- number is the version of an item in the API. A sealing id (version) of UUID version 8 contains
-- it; one of version 4 was made by an earlier release.
ALTER TABLE vault_items ADD COLUMN number bigint NOT NULL DEFAULT 1, ADD COLUMN expires_at timestamptz,
    ADD CONSTRAINT vault_items_number CHECK (number > 0);
CREATE INDEX vault_items_by_expiry ON vault_items (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX vault_items_by_user_expiry ON vault_items (user_id, expires_at) WHERE expires_at IS NOT NULL;

-- The account of earlier versions: history_bytes of existing keys, trash_bytes of trashed keys, the
-- rows of both, and the trashed keys. revision counts the user's changes.
ALTER TABLE vault_usage ADD COLUMN history_bytes bigint NOT NULL DEFAULT 0,
    ADD COLUMN trash_bytes bigint NOT NULL DEFAULT 0, ADD COLUMN versions bigint NOT NULL DEFAULT 0,
    ADD COLUMN trash_items bigint NOT NULL DEFAULT 0, ADD COLUMN revision bigint NOT NULL DEFAULT 0,
    ADD CONSTRAINT vault_usage_history_not_negative
        CHECK (history_bytes >= 0 AND trash_bytes >= 0 AND versions >= 0 AND trash_items >= 0);

-- Earlier versions of existing keys, and all versions of trashed keys. created_at is the time of the
-- write. archived_revision orders the versions of a user by the change that replaced them.
CREATE TABLE vault_versions (
    user_id           text COLLATE "C" NOT NULL,
    realm_id          text COLLATE "C" NOT NULL,
    key               text COLLATE "C" NOT NULL,
    number            bigint           NOT NULL,
    sealed            bytea            NOT NULL,
    version           uuid             NOT NULL,
    sealed_metadata   bytea,
    metadata_version  uuid,
    size_bytes        bigint           NOT NULL,
    metadata_bytes    bigint           NOT NULL,
    created_at        timestamptz      NOT NULL,
    archived_revision bigint           NOT NULL,
    CONSTRAINT vault_versions_pkey PRIMARY KEY (user_id, realm_id, key, number),
    CONSTRAINT vault_versions_sizes CHECK (metadata_bytes >= 0 AND size_bytes >= metadata_bytes),
    CONSTRAINT vault_versions_metadata_whole CHECK ((sealed_metadata IS NULL) = (metadata_version IS NULL))
);
ALTER TABLE vault_versions ALTER COLUMN sealed SET STORAGE EXTERNAL, ALTER COLUMN sealed_metadata SET STORAGE EXTERNAL;
CREATE INDEX vault_versions_by_age ON vault_versions (user_id, archived_revision);

-- Keys in the trash. number is that of the last version; created_at is the item's.
CREATE TABLE vault_trash (
    user_id          text COLLATE "C" NOT NULL,
    realm_id         text COLLATE "C" NOT NULL,
    key              text COLLATE "C" NOT NULL,
    number           bigint           NOT NULL,
    created_at       timestamptz      NOT NULL,
    deleted_at       timestamptz      NOT NULL,
    restorable_until timestamptz      NOT NULL,
    CONSTRAINT vault_trash_pkey PRIMARY KEY (user_id, realm_id, key)
);
CREATE INDEX vault_trash_by_end ON vault_trash (restorable_until);
CREATE INDEX vault_trash_by_user_end ON vault_trash (user_id, restorable_until);

-- The changes of the last 24 hours, from which watches are served. number is the version that the
-- change made or removed.
CREATE TABLE vault_changes (
    user_id  text COLLATE "C" NOT NULL,
    revision bigint           NOT NULL,
    realm_id text COLLATE "C" NOT NULL,
    key      text COLLATE "C" NOT NULL,
    event    text             NOT NULL,
    number   bigint           NOT NULL,
    at       timestamptz      NOT NULL,
    CONSTRAINT vault_changes_pkey PRIMARY KEY (user_id, revision),
    CONSTRAINT vault_changes_event CHECK (event IN ('put', 'delete', 'restore', 'expire'))
);
CREATE INDEX vault_changes_by_time ON vault_changes USING brin (at) WITH (pages_per_range = 16, autosummarize = on);
