-- +goose Up

-- vault_put stores one item of a user, if the quota allows it, and the account of sizes with it. It is a function because that costs half of what the
-- same costs as one statement for all cases: most writes need two or three of these.
--
-- A new value as long as the old one changes no account, so it takes no lock but that of its row. Every other write first locks the user's row of
-- vault_usage. Each statement in here has a snapshot of its own (READ COMMITTED): those after the lock see all that earlier holders of it committed,
-- and a new value of the same length that comes between them changes nothing that they count.
--
-- The row is returned as it is then; o_size is -1, and nothing was changed, when the quota does not allow it. The difference that a write makes
-- decides: one that shrinks passes whatever the account says.
-- +goose StatementBegin
CREATE FUNCTION vault_put(
    p_user text, p_realm text, p_key text, p_sealed bytea, p_version uuid, p_metadata bytea, p_metadata_version uuid, p_keep_metadata boolean,
    p_value_bytes bigint, p_metadata_bytes bigint, p_max_bytes bigint, p_max_items bigint,
    OUT o_metadata bytea, OUT o_metadata_version uuid, OUT o_size bigint, OUT o_created timestamptz, OUT o_updated timestamptz, OUT o_fresh boolean
) LANGUAGE plpgsql AS $$
DECLARE
    account    record;
    old        record;
    metadata_n bigint; -- bytes of the metadata afterwards
    delta      bigint;
BEGIN
    UPDATE vault_items SET sealed = p_sealed, version = p_version, updated_at = greatest(now(), updated_at),
        sealed_metadata = CASE WHEN p_keep_metadata THEN sealed_metadata ELSE p_metadata END,
        metadata_version = CASE WHEN p_keep_metadata THEN metadata_version ELSE p_metadata_version END
    WHERE user_id = p_user AND realm_id = p_realm AND key = p_key
        AND size_bytes - metadata_bytes = p_value_bytes AND (p_keep_metadata OR metadata_bytes = p_metadata_bytes)
    RETURNING sealed_metadata, metadata_version, size_bytes, created_at, updated_at INTO o_metadata, o_metadata_version, o_size, o_created, o_updated;
    IF FOUND THEN
        o_fresh := false;
        RETURN;
    END IF;

    SELECT bytes, items INTO account FROM vault_usage WHERE user_id = p_user FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        INSERT INTO vault_usage (user_id) VALUES (p_user) ON CONFLICT (user_id) DO NOTHING;
        SELECT bytes, items INTO account FROM vault_usage WHERE user_id = p_user FOR NO KEY UPDATE;
    END IF;
    SELECT size_bytes, metadata_bytes INTO old FROM vault_items WHERE user_id = p_user AND realm_id = p_realm AND key = p_key;
    o_fresh := NOT FOUND;
    metadata_n := CASE WHEN p_keep_metadata THEN coalesce(old.metadata_bytes, 0) ELSE p_metadata_bytes END;
    delta := p_value_bytes + metadata_n - coalesce(old.size_bytes, 0);
    IF (delta > 0 AND account.bytes + delta > p_max_bytes) OR (o_fresh AND account.items >= p_max_items) THEN
        o_size := -1;
        RETURN;
    END IF;

    IF o_fresh THEN
        INSERT INTO vault_items (user_id, realm_id, key, sealed, version, sealed_metadata, metadata_version, size_bytes, metadata_bytes)
        VALUES (p_user, p_realm, p_key, p_sealed, p_version, p_metadata, p_metadata_version, p_value_bytes + metadata_n, metadata_n)
        RETURNING sealed_metadata, metadata_version, size_bytes, created_at, updated_at INTO o_metadata, o_metadata_version, o_size, o_created, o_updated;
        INSERT INTO vault_realms AS r (user_id, realm_id, bytes, items) VALUES (p_user, p_realm, delta, 1)
        ON CONFLICT (user_id, realm_id) DO UPDATE SET bytes = r.bytes + excluded.bytes, items = r.items + 1;
    ELSE
        UPDATE vault_items SET sealed = p_sealed, version = p_version, size_bytes = p_value_bytes + metadata_n, metadata_bytes = metadata_n,
            updated_at = greatest(now(), updated_at),
            sealed_metadata = CASE WHEN p_keep_metadata THEN sealed_metadata ELSE p_metadata END,
            metadata_version = CASE WHEN p_keep_metadata THEN metadata_version ELSE p_metadata_version END
        WHERE user_id = p_user AND realm_id = p_realm AND key = p_key
        RETURNING sealed_metadata, metadata_version, size_bytes, created_at, updated_at INTO o_metadata, o_metadata_version, o_size, o_created, o_updated;
        UPDATE vault_realms SET bytes = bytes + delta WHERE user_id = p_user AND realm_id = p_realm;
    END IF;
    UPDATE vault_usage SET bytes = bytes + delta, items = items + o_fresh::int WHERE user_id = p_user;
END $$;
-- +goose StatementEnd
