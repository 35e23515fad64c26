-- +goose Up

-- vault_write stores one item of a user, if the quota allows it, keeps the version before it, and
-- keeps the accounts. It is a function because that costs half of what one statement for all cases
-- costs: most writes need a few of these.
--
-- p_number is the number to which the value is sealed; NULL: a write of the previous release, whose
-- seal contains none. p_expires or p_ttl (milliseconds) sets the expiry unless p_keep_expiry. A quota
-- of p_max_bytes is also the allowance of the history. p_created is the creation time of a new item
-- (NULL: now).
--
-- o_status: 0 stored, and the row is returned as it is then; otherwise nothing was changed:
-- 1 the quota does not allow it, 2 the item's next number is o_number and not p_number, 3 the expiry
-- is in the past. The difference that a write makes decides about the quota: one that shrinks passes
-- whatever the account says.
-- +goose StatementBegin
CREATE FUNCTION vault_write(
    p_user text, p_realm text, p_key text, p_number bigint, p_sealed bytea, p_version uuid, p_metadata bytea,
    p_metadata_version uuid, p_keep_metadata boolean, p_value_bytes bigint, p_metadata_bytes bigint,
    p_keep_expiry boolean, p_expires timestamptz, p_ttl bigint, p_max_bytes bigint, p_max_items bigint,
    p_max_versions bigint, p_event text, p_created timestamptz,
    OUT o_status smallint, OUT o_number bigint, OUT o_metadata bytea, OUT o_metadata_version uuid, OUT o_size bigint,
    OUT o_created timestamptz, OUT o_updated timestamptz, OUT o_expires timestamptz, OUT o_fresh boolean
) LANGUAGE plpgsql AS $$
DECLARE
    account    vault_usage;
    old        record;
    trashed    record;
    clock      timestamptz;
    recreated  boolean := false;
    metadata_n bigint;      -- bytes of the metadata afterwards
    delta      bigint;      -- of the account's bytes
    rows_n     bigint := 0; -- of versions that are added or removed
    history_n  bigint := 0; -- bytes of them
    moved_n    bigint := 0; -- bytes that leave the trash and become history
    removed_n  bigint;
    removed_b  bigint;
BEGIN
    SELECT * INTO account FROM vault_usage WHERE user_id = p_user FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM vault_lock(p_user);
        SELECT * INTO account FROM vault_usage WHERE user_id = p_user;
    END IF;
    clock := clock_timestamp();
    SELECT number, size_bytes, metadata_bytes, expires_at INTO old FROM vault_items
    WHERE user_id = p_user AND realm_id = p_realm AND key = p_key;
    o_fresh := NOT FOUND;
    IF old.expires_at <= clock THEN
        PERFORM vault_purge(p_user, p_realm, p_key, clock, clock, NULL);
        SELECT * INTO account FROM vault_usage WHERE user_id = p_user;
        SELECT number, size_bytes, metadata_bytes, expires_at INTO old FROM vault_items
        WHERE user_id = p_user AND realm_id = p_realm AND key = p_key;
        o_fresh := true;
    END IF;
    o_number := coalesce(old.number, 0) + 1;
    IF o_fresh AND account.trash_items > 0 THEN
        SELECT number, restorable_until <= clock AS ended INTO trashed FROM vault_trash
        WHERE user_id = p_user AND realm_id = p_realm AND key = p_key;
        IF trashed.ended THEN
            PERFORM vault_drop_trash(p_user, ARRAY[p_realm], ARRAY[p_key]);
            SELECT * INTO account FROM vault_usage WHERE user_id = p_user;
        ELSIF trashed.number IS NOT NULL THEN
            recreated := true;
            o_number := trashed.number + 1;
        END IF;
    END IF;
    IF p_number <> o_number THEN
        o_status := 2;
        RETURN;
    END IF;

    o_expires := CASE WHEN p_keep_expiry THEN old.expires_at WHEN p_ttl IS NOT NULL THEN clock + p_ttl * interval '1 ms'
        ELSE p_expires END;
    IF o_expires <= clock THEN
        o_status := 3;
        RETURN;
    END IF;
    metadata_n := CASE WHEN p_keep_metadata THEN coalesce(old.metadata_bytes, 0) ELSE p_metadata_bytes END;
    delta := p_value_bytes + metadata_n - coalesce(old.size_bytes, 0);
    IF (delta > 0 AND account.bytes + delta > p_max_bytes) OR (o_fresh AND account.items >= p_max_items) THEN
        PERFORM vault_purge(p_user, NULL, NULL, clock, clock, NULL);
        SELECT * INTO account FROM vault_usage WHERE user_id = p_user;
        IF (delta > 0 AND account.bytes + delta > p_max_bytes) OR (o_fresh AND account.items >= p_max_items) THEN
            o_status := 1;
            RETURN;
        END IF;
    END IF;

    IF o_fresh THEN
        INSERT INTO vault_items (user_id, realm_id, key, number, sealed, version, sealed_metadata, metadata_version,
            size_bytes, metadata_bytes, expires_at, created_at)
        VALUES (p_user, p_realm, p_key, o_number, p_sealed, p_version, p_metadata, p_metadata_version,
            p_value_bytes + metadata_n, metadata_n, o_expires, coalesce(p_created, now()))
        RETURNING sealed_metadata, metadata_version, size_bytes, created_at, updated_at
        INTO o_metadata, o_metadata_version, o_size, o_created, o_updated;
        INSERT INTO vault_realms AS r (user_id, realm_id, bytes, items) VALUES (p_user, p_realm, delta, 1)
        ON CONFLICT (user_id, realm_id) DO UPDATE SET bytes = r.bytes + excluded.bytes, items = r.items + 1;
        IF recreated THEN
            DELETE FROM vault_trash WHERE user_id = p_user AND realm_id = p_realm AND key = p_key;
            SELECT coalesce(sum(size_bytes), 0) INTO moved_n FROM vault_versions
            WHERE user_id = p_user AND realm_id = p_realm AND key = p_key;
        END IF;
    ELSE
        IF p_max_versions > 0 AND old.size_bytes <= p_max_bytes THEN
            INSERT INTO vault_versions (user_id, realm_id, key, number, sealed, version, sealed_metadata,
                metadata_version, size_bytes, metadata_bytes, created_at, archived_revision)
            SELECT user_id, realm_id, key, number, sealed, version, sealed_metadata,
                metadata_version, size_bytes, metadata_bytes, updated_at, account.revision + 1
            FROM vault_items WHERE user_id = p_user AND realm_id = p_realm AND key = p_key;
            rows_n := 1;
            history_n := old.size_bytes;
        END IF;
        UPDATE vault_items SET number = o_number, sealed = p_sealed, version = p_version,
            size_bytes = p_value_bytes + metadata_n, metadata_bytes = metadata_n, expires_at = o_expires,
            updated_at = greatest(now(), updated_at),
            sealed_metadata = CASE WHEN p_keep_metadata THEN sealed_metadata ELSE p_metadata END,
            metadata_version = CASE WHEN p_keep_metadata THEN metadata_version ELSE p_metadata_version END
        WHERE user_id = p_user AND realm_id = p_realm AND key = p_key
        RETURNING sealed_metadata, metadata_version, size_bytes, created_at, updated_at
        INTO o_metadata, o_metadata_version, o_size, o_created, o_updated;
        IF delta <> 0 THEN
            UPDATE vault_realms SET bytes = bytes + delta WHERE user_id = p_user AND realm_id = p_realm;
        END IF;
    END IF;
    IF account.versions > 0 AND o_number - 1 > p_max_versions THEN
        WITH gone AS (
            DELETE FROM vault_versions WHERE user_id = p_user AND realm_id = p_realm AND key = p_key
                AND number < o_number - p_max_versions RETURNING size_bytes
        )
        SELECT count(*), coalesce(sum(size_bytes), 0) INTO removed_n, removed_b FROM gone;
        rows_n := rows_n - removed_n;
        history_n := history_n - removed_b;
    END IF;

    UPDATE vault_usage SET bytes = bytes + delta, items = items + o_fresh::int, revision = revision + 1,
        history_bytes = history_bytes + history_n + moved_n, trash_bytes = trash_bytes - moved_n,
        versions = versions + rows_n, trash_items = trash_items - recreated::int
    WHERE user_id = p_user RETURNING * INTO account;
    IF account.history_bytes + account.trash_bytes > p_max_bytes
            OR account.versions > p_max_items * (p_max_versions + 1) THEN
        PERFORM vault_prune(p_user, p_max_bytes, p_max_items * (p_max_versions + 1));
    END IF;
    INSERT INTO vault_changes (user_id, revision, realm_id, key, event, number, at)
    VALUES (p_user, account.revision, p_realm, p_key, p_event, o_number, clock);
    o_status := 0;
END $$;
-- +goose StatementEnd

-- vault_put is what the previous release calls. Its values are sealed without a number, and it keeps
-- ten earlier versions.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION vault_put(
    p_user text, p_realm text, p_key text, p_sealed bytea, p_version uuid, p_metadata bytea, p_metadata_version uuid,
    p_keep_metadata boolean, p_value_bytes bigint, p_metadata_bytes bigint, p_max_bytes bigint, p_max_items bigint,
    OUT o_metadata bytea, OUT o_metadata_version uuid, OUT o_size bigint, OUT o_created timestamptz,
    OUT o_updated timestamptz, OUT o_fresh boolean
) LANGUAGE plpgsql AS $$
DECLARE
    stored record;
BEGIN
    SELECT * INTO stored FROM vault_write(p_user, p_realm, p_key, NULL, p_sealed, p_version, p_metadata,
        p_metadata_version, p_keep_metadata, p_value_bytes, p_metadata_bytes, true, NULL, NULL, p_max_bytes,
        p_max_items, 10, 'put', NULL);
    o_metadata := stored.o_metadata;
    o_metadata_version := stored.o_metadata_version;
    o_size := CASE stored.o_status WHEN 0 THEN stored.o_size ELSE -1 END;
    o_created := stored.o_created;
    o_updated := stored.o_updated;
    o_fresh := stored.o_fresh;
END $$;
-- +goose StatementEnd

-- vault_remove deletes one item of a realm, or all of them when p_key is NULL. With p_retention
-- (milliseconds) their versions go to the trash for that time; without, they are deleted too.
-- o_count is the number of items. o_status is 1, and nothing was changed, when the values are larger
-- than p_max_bytes, the allowance of the history.
-- +goose StatementBegin
CREATE FUNCTION vault_remove(p_user text, p_realm text, p_key text, p_retention bigint, p_max_bytes bigint,
    p_max_versions bigint, OUT o_status smallint, OUT o_count bigint, OUT o_until timestamptz) LANGUAGE plpgsql AS $$
DECLARE
    clock   timestamptz;
    realms  text[];
    keys    text[];
    numbers bigint[];
    sizes   bigint[];
    account vault_usage;
    moved_n bigint; -- bytes of earlier versions
    total_n bigint; -- bytes of the items
    last    bigint;
BEGIN
    PERFORM vault_lock(p_user);
    clock := clock_timestamp();
    o_status := 0;
    o_until := clock + p_retention * interval '1 ms';
    IF p_key IS NULL THEN
        PERFORM vault_purge(p_user, NULL, NULL, clock, '-infinity', NULL);
        SELECT array_agg(realm_id), array_agg(key ORDER BY key), array_agg(number ORDER BY key),
            array_agg(size_bytes ORDER BY key), count(*), sum(size_bytes)
        INTO realms, keys, numbers, sizes, o_count, total_n FROM vault_items
        WHERE user_id = p_user AND realm_id = p_realm;
    ELSE
        SELECT array_agg(realm_id), array_agg(key), array_agg(number), array_agg(size_bytes), count(*), sum(size_bytes),
            least(o_until, min(expires_at))
        INTO realms, keys, numbers, sizes, o_count, total_n, o_until FROM vault_items
        WHERE user_id = p_user AND realm_id = p_realm AND key = p_key AND (expires_at > clock OR expires_at IS NULL);
    END IF;
    IF o_count = 0 THEN
        RETURN;
    END IF;
    PERFORM set_config('vault_svc.deleting', 'on', true);
    IF p_retention IS NULL THEN
        DELETE FROM vault_items i USING unnest(keys) AS k (key)
        WHERE i.user_id = p_user AND i.realm_id = p_realm AND i.key = k.key;
        PERFORM vault_uncount(p_user, realms, sizes);
        PERFORM vault_forget(p_user, realms, keys, numbers, 'delete');
        RETURN;
    END IF;
    IF total_n > p_max_bytes THEN
        o_status := 1;
        RETURN;
    END IF;

    SELECT coalesce(sum(v.size_bytes), 0) INTO moved_n FROM vault_versions v JOIN unnest(keys) AS k (key) USING (key)
    WHERE v.user_id = p_user AND v.realm_id = p_realm;
    SELECT revision INTO last FROM vault_usage WHERE user_id = p_user;
    INSERT INTO vault_versions (user_id, realm_id, key, number, sealed, version, sealed_metadata,
        metadata_version, size_bytes, metadata_bytes, created_at, archived_revision)
    SELECT user_id, realm_id, key, number, sealed, version, sealed_metadata,
        metadata_version, size_bytes, metadata_bytes, updated_at, last + k.n
    FROM vault_items i JOIN unnest(keys) WITH ORDINALITY AS k (key, n) USING (key)
    WHERE i.user_id = p_user AND i.realm_id = p_realm;
    WITH gone AS (
        DELETE FROM vault_items i USING unnest(keys) AS k (key)
        WHERE i.user_id = p_user AND i.realm_id = p_realm AND i.key = k.key
        RETURNING i.key, i.number, i.created_at, i.expires_at
    )
    INSERT INTO vault_trash (user_id, realm_id, key, number, created_at, deleted_at, restorable_until)
    SELECT p_user, p_realm, key, number, created_at, clock, least(clock + p_retention * interval '1 ms', expires_at)
    FROM gone;
    PERFORM vault_uncount(p_user, realms, sizes);
    UPDATE vault_usage SET history_bytes = history_bytes - moved_n, trash_bytes = trash_bytes + moved_n + total_n,
        versions = versions + o_count, trash_items = trash_items + o_count, revision = revision + o_count
    WHERE user_id = p_user RETURNING * INTO account;
    INSERT INTO vault_changes (user_id, revision, realm_id, key, event, number, at)
    SELECT p_user, last + k.n, p_realm, k.key, 'delete', k.number, clock
    FROM unnest(keys, numbers) WITH ORDINALITY AS k (key, number, n);
    IF account.history_bytes + account.trash_bytes > p_max_bytes OR account.versions > p_max_versions THEN
        PERFORM vault_prune(p_user, p_max_bytes, p_max_versions);
    END IF;
END $$;
-- +goose StatementEnd

-- vault_empty_trash removes one key of a realm from the trash, or all when p_key is NULL, and returns
-- the number of keys whose time had not ended. No change is recorded: the keys were absent before.
-- +goose StatementBegin
CREATE FUNCTION vault_empty_trash(p_user text, p_realm text, p_key text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    clock  timestamptz;
    realms text[];
    keys   text[];
    n      bigint;
BEGIN
    PERFORM vault_lock(p_user);
    clock := clock_timestamp();
    IF p_key IS NULL THEN
        SELECT array_agg(realm_id), array_agg(key), count(*) FILTER (WHERE restorable_until > clock)
        INTO realms, keys, n FROM vault_trash WHERE user_id = p_user AND realm_id = p_realm;
    ELSE
        SELECT array_agg(realm_id), array_agg(key), count(*) FILTER (WHERE restorable_until > clock)
        INTO realms, keys, n FROM vault_trash WHERE user_id = p_user AND realm_id = p_realm AND key = p_key;
    END IF;
    IF keys IS NOT NULL THEN
        PERFORM vault_drop_trash(p_user, realms, keys);
    END IF;
    RETURN n;
END $$;
-- +goose StatementEnd

-- vault_expire removes what has ended of one user, at most p_most items and entries of the trash, and
-- returns their number. Replicas may call it at the same time.
-- +goose StatementBegin
CREATE FUNCTION vault_expire(p_user text, p_trash_clock timestamptz, p_most bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM vault_lock(p_user);
    RETURN vault_purge(p_user, NULL, NULL, clock_timestamp(), least(clock_timestamp(), p_trash_clock), p_most);
END $$;
-- +goose StatementEnd
