-- +goose Up

-- The data key of each user, wrapped by the key-encryption keyset. kek_id is the Tink id of the key that wrapped it: what keys rotate works by.
CREATE TABLE vault_keys (
    user_id    text COLLATE "C" NOT NULL,
    wrapped    bytea            NOT NULL,
    kek_id     bigint           NOT NULL,
    created_at timestamptz      NOT NULL DEFAULT now(),
    wrapped_at timestamptz      NOT NULL DEFAULT now(),
    CONSTRAINT vault_keys_pkey PRIMARY KEY (user_id)
);

-- What each user stores over all realms. Its row is the lock that every write of the user takes first, so that the account is exact.
CREATE TABLE vault_usage (
    user_id text COLLATE "C" NOT NULL,
    bytes   bigint           NOT NULL DEFAULT 0,
    items   bigint           NOT NULL DEFAULT 0,
    CONSTRAINT vault_usage_pkey PRIMARY KEY (user_id),
    CONSTRAINT vault_usage_not_negative CHECK (bytes >= 0 AND items >= 0)
) WITH (fillfactor = 70);

-- The same account by realm, so that statistics cost the same for one key and for ten thousand. A realm without items has no row.
CREATE TABLE vault_realms (
    user_id  text COLLATE "C" NOT NULL,
    realm_id text COLLATE "C" NOT NULL,
    bytes    bigint           NOT NULL,
    items    bigint           NOT NULL,
    CONSTRAINT vault_realms_pkey PRIMARY KEY (user_id, realm_id),
    CONSTRAINT vault_realms_holds_items CHECK (bytes >= 0 AND items > 0)
) WITH (fillfactor = 70);

-- sealed and sealed_metadata are opened with the version beside them (seal.go). Ciphertext does not compress: EXTERNAL saves the attempt.
CREATE TABLE vault_items (
    user_id          text COLLATE "C" NOT NULL,
    realm_id         text COLLATE "C" NOT NULL,
    key              text COLLATE "C" NOT NULL,
    sealed           bytea            NOT NULL,
    version          uuid             NOT NULL,
    sealed_metadata  bytea,
    metadata_version uuid,
    size_bytes       bigint           NOT NULL,
    metadata_bytes   bigint           NOT NULL,
    created_at       timestamptz      NOT NULL DEFAULT now(),
    updated_at       timestamptz      NOT NULL DEFAULT now(),
    CONSTRAINT vault_items_pkey PRIMARY KEY (user_id, realm_id, key),
    CONSTRAINT vault_items_sizes CHECK (metadata_bytes >= 0 AND size_bytes >= metadata_bytes),
    CONSTRAINT vault_items_metadata_whole CHECK ((sealed_metadata IS NULL) = (metadata_version IS NULL))
);
ALTER TABLE vault_items ALTER COLUMN sealed SET STORAGE EXTERNAL, ALTER COLUMN sealed_metadata SET STORAGE EXTERNAL;
