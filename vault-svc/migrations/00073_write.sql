-- +goose Up

-- Every function here that changes a user's rows first locks the user's row of vault_usage. Each
-- statement has a snapshot of its own (READ COMMITTED), so those after the lock see all that earlier
-- holders of it committed. The clock is read after the lock.

-- vault_lock locks the account of a user, which it creates if there is none. A revision is never used
-- again, also after the row was lost.
-- +goose StatementBegin
CREATE FUNCTION vault_lock(p_user text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM vault_usage WHERE user_id = p_user FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        INSERT INTO vault_usage (user_id, revision)
        SELECT p_user, coalesce(max(revision), 0) FROM vault_changes WHERE user_id = p_user
        ON CONFLICT (user_id) DO NOTHING;
        PERFORM FROM vault_usage WHERE user_id = p_user FOR NO KEY UPDATE;
    END IF;
END $$;
-- +goose StatementEnd

-- vault_forget deletes the earlier versions of keys whose items were deleted, and records one change
-- for each key. The caller holds the lock of the account.
-- +goose StatementBegin
CREATE FUNCTION vault_forget(p_user text, p_realms text[], p_keys text[], p_numbers bigint[], p_event text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    gone_rows  bigint := 0;
    gone_bytes bigint := 0;
    last       bigint;
BEGIN
    IF cardinality(p_keys) = 0 THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM vault_usage WHERE user_id = p_user AND versions > 0) THEN
        WITH gone AS (
            DELETE FROM vault_versions v USING unnest(p_realms, p_keys) AS k (realm_id, key)
            WHERE v.user_id = p_user AND v.realm_id = k.realm_id AND v.key = k.key RETURNING v.size_bytes
        )
        SELECT count(*), coalesce(sum(size_bytes), 0) INTO gone_rows, gone_bytes FROM gone;
    END IF;
    UPDATE vault_usage SET history_bytes = history_bytes - gone_bytes, versions = versions - gone_rows,
        revision = revision + cardinality(p_keys)
    WHERE user_id = p_user RETURNING revision - cardinality(p_keys) INTO last;
    INSERT INTO vault_changes (user_id, revision, realm_id, key, event, number, at)
    SELECT p_user, last + n, realm_id, key, p_event, number, clock_timestamp()
    FROM unnest(p_realms, p_keys, p_numbers) WITH ORDINALITY AS k (realm_id, key, number, n);
END $$;
-- +goose StatementEnd

-- vault_uncount subtracts deleted items from the accounts of the user and of the realms.
-- +goose StatementBegin
CREATE FUNCTION vault_uncount(p_user text, p_realms text[], p_sizes bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE vault_usage SET items = items - cardinality(p_sizes),
        bytes = bytes - (SELECT coalesce(sum(size), 0) FROM unnest(p_sizes) AS s (size))
    WHERE user_id = p_user;
    WITH freed AS (
        SELECT realm_id, count(*) AS items, sum(size)::bigint AS bytes
        FROM unnest(p_realms, p_sizes) AS k (realm_id, size) GROUP BY realm_id
    ), emptied AS (
        DELETE FROM vault_realms r USING freed f
        WHERE r.user_id = p_user AND r.realm_id = f.realm_id AND r.items = f.items
    )
    UPDATE vault_realms r SET bytes = r.bytes - f.bytes, items = r.items - f.items
    FROM freed f WHERE r.user_id = p_user AND r.realm_id = f.realm_id AND r.items > f.items;
END $$;
-- +goose StatementEnd

-- vault_items_deleted does for the previous release, which deletes items by plain SQL and keeps the
-- accounts of items itself, what the functions of this release do: versions and changes. These set
-- vault_svc.deleting, so that it does not run for them.
-- +goose StatementBegin
CREATE FUNCTION vault_items_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    gone record;
BEGIN
    FOR gone IN
        SELECT user_id, array_agg(realm_id ORDER BY realm_id, key) AS realms,
            array_agg(key ORDER BY realm_id, key) AS keys,
            array_agg(number ORDER BY realm_id, key) AS numbers
        FROM deleted GROUP BY user_id
    LOOP
        PERFORM vault_forget(gone.user_id, gone.realms, gone.keys, gone.numbers, 'delete');
    END LOOP;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER vault_items_deleted AFTER DELETE ON vault_items REFERENCING OLD TABLE AS deleted
FOR EACH STATEMENT WHEN (current_setting('vault_svc.deleting', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION vault_items_deleted();

-- vault_drop_trash removes the entries of keys from the trash, with their versions. The caller holds
-- the lock of the account.
-- +goose StatementBegin
CREATE FUNCTION vault_drop_trash(p_user text, p_realms text[], p_keys text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH entries AS (
        DELETE FROM vault_trash t USING unnest(p_realms, p_keys) AS k (realm_id, key)
        WHERE t.user_id = p_user AND t.realm_id = k.realm_id AND t.key = k.key RETURNING t.key
    ), gone AS (
        DELETE FROM vault_versions v USING unnest(p_realms, p_keys) AS k (realm_id, key)
        WHERE v.user_id = p_user AND v.realm_id = k.realm_id AND v.key = k.key RETURNING v.size_bytes
    )
    UPDATE vault_usage SET trash_items = trash_items - (SELECT count(*) FROM entries),
        versions = versions - (SELECT count(*) FROM gone),
        trash_bytes = trash_bytes - (SELECT coalesce(sum(size_bytes), 0) FROM gone)
    WHERE user_id = p_user;
END $$;
-- +goose StatementEnd

-- vault_purge removes what has ended: items whose expires_at is not after p_clock, and entries of the
-- trash whose restorable_until is not after p_trash_clock. With p_key it looks at that key only. It
-- removes at most p_most items and entries (NULL: all), and returns their number. The caller holds
-- the lock of the account.
-- +goose StatementBegin
CREATE FUNCTION vault_purge(p_user text, p_realm text, p_key text, p_clock timestamptz, p_trash_clock timestamptz,
    p_most bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    realms  text[];
    keys    text[];
    numbers bigint[];
    sizes   bigint[];
    n       bigint := 0;
BEGIN
    PERFORM set_config('vault_svc.deleting', 'on', true);
    IF p_key IS NULL THEN
        SELECT coalesce(array_agg(realm_id), '{}'), coalesce(array_agg(key), '{}') INTO realms, keys
        FROM (SELECT realm_id, key FROM vault_items WHERE user_id = p_user AND expires_at <= p_clock
            ORDER BY expires_at LIMIT p_most) AS ended;
    ELSE
        realms := ARRAY[p_realm];
        keys := ARRAY[p_key];
    END IF;
    WITH gone AS (
        DELETE FROM vault_items i USING unnest(realms, keys) AS k (realm_id, key)
        WHERE i.user_id = p_user AND i.realm_id = k.realm_id AND i.key = k.key AND i.expires_at <= p_clock
        RETURNING i.realm_id, i.key, i.number, i.size_bytes, i.expires_at
    )
    SELECT array_agg(realm_id ORDER BY o), array_agg(key ORDER BY o), array_agg(number ORDER BY o),
        array_agg(size_bytes ORDER BY o), count(*)
    INTO realms, keys, numbers, sizes, n
    FROM (SELECT *, row_number() OVER (ORDER BY expires_at, realm_id, key) AS o FROM gone) AS ordered;
    IF n > 0 THEN
        PERFORM vault_uncount(p_user, realms, sizes);
        PERFORM vault_forget(p_user, realms, keys, numbers, 'expire');
    END IF;
    IF p_key IS NULL THEN
        SELECT array_agg(realm_id), array_agg(key) INTO realms, keys
        FROM (SELECT realm_id, key FROM vault_trash WHERE user_id = p_user AND restorable_until <= p_trash_clock
            ORDER BY restorable_until LIMIT p_most) AS ended;
    ELSE
        SELECT array_agg(realm_id), array_agg(key) INTO realms, keys FROM vault_trash
        WHERE user_id = p_user AND realm_id = p_realm AND key = p_key AND restorable_until <= p_trash_clock;
    END IF;
    IF keys IS NOT NULL THEN
        PERFORM vault_drop_trash(p_user, realms, keys);
        n := n + cardinality(keys);
    END IF;
    RETURN n;
END $$;
-- +goose StatementEnd

-- vault_prune removes the oldest versions until the history has at most p_max_bytes and
-- p_max_versions rows. A key in the trash leaves it with its last version. The caller holds the lock
-- of the account.
-- +goose StatementBegin
CREATE FUNCTION vault_prune(p_user text, p_max_bytes bigint, p_max_versions bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    account vault_usage;
    v       record;
BEGIN
    SELECT * INTO account FROM vault_usage WHERE user_id = p_user;
    FOR v IN
        SELECT realm_id, key, number, size_bytes FROM vault_versions WHERE user_id = p_user
        ORDER BY archived_revision, realm_id, key, number
    LOOP
        EXIT WHEN account.history_bytes + account.trash_bytes <= p_max_bytes AND account.versions <= p_max_versions;
        DELETE FROM vault_versions
        WHERE user_id = p_user AND realm_id = v.realm_id AND key = v.key AND number = v.number;
        account.versions := account.versions - 1;
        IF EXISTS (SELECT FROM vault_trash WHERE user_id = p_user AND realm_id = v.realm_id AND key = v.key) THEN
            account.trash_bytes := account.trash_bytes - v.size_bytes;
            DELETE FROM vault_trash
            WHERE user_id = p_user AND realm_id = v.realm_id AND key = v.key AND number = v.number;
            IF FOUND THEN
                account.trash_items := account.trash_items - 1;
            END IF;
        ELSE
            account.history_bytes := account.history_bytes - v.size_bytes;
        END IF;
    END LOOP;
    UPDATE vault_usage SET history_bytes = account.history_bytes, trash_bytes = account.trash_bytes,
        versions = account.versions, trash_items = account.trash_items
    WHERE user_id = p_user;
END $$;
-- +goose StatementEnd
