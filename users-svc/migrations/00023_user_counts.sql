-- +goose Up
-- How many users there are, so that a page of them need not count them: the sum of users over all slots. A connection writes to one slot only, so
-- that two sign-ups seldom wait for one another; one slot alone may be below zero. Triggers keep it, for whoever changes users: also the previous
-- release, a restore and people at the database.
CREATE TABLE user_counts (
    slot      smallint NOT NULL,
    is_admin  boolean  NOT NULL,
    is_banned boolean  NOT NULL,
    users     bigint   NOT NULL,
    CONSTRAINT user_counts_pkey PRIMARY KEY (slot, is_admin, is_banned)
) WITH (fillfactor = 50);

-- The cells are locked in the order of their key, and the search path is that of the tables, whatever the caller's.
-- +goose StatementBegin
CREATE FUNCTION count_users() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO user_counts AS c (slot, is_admin, is_banned, users)
    SELECT pg_backend_pid() % 64, is_admin, is_banned, CASE TG_OP WHEN 'INSERT' THEN count(*) ELSE -count(*) END
    FROM changed GROUP BY is_admin, is_banned ORDER BY is_admin, is_banned
    ON CONFLICT ON CONSTRAINT user_counts_pkey DO UPDATE SET users = c.users + excluded.users;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION count_changed_user() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO user_counts AS c (slot, is_admin, is_banned, users)
    SELECT pg_backend_pid() % 64, is_admin, is_banned, more
    FROM (VALUES (OLD.is_admin, OLD.is_banned, -1), (NEW.is_admin, NEW.is_banned, 1)) AS changed (is_admin, is_banned, more)
    ORDER BY is_admin, is_banned
    ON CONFLICT ON CONSTRAINT user_counts_pkey DO UPDATE SET users = c.users + excluded.users;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION count_no_users() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM user_counts;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER users_count_new AFTER INSERT ON users REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_users();
CREATE TRIGGER users_count_deleted AFTER DELETE ON users REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_users();
CREATE TRIGGER users_count_changed AFTER UPDATE ON users FOR EACH ROW
    WHEN (OLD.is_admin <> NEW.is_admin OR OLD.is_banned <> NEW.is_banned) EXECUTE FUNCTION count_changed_user();
CREATE TRIGGER users_count_none AFTER TRUNCATE ON users FOR EACH STATEMENT EXECUTE FUNCTION count_no_users();

-- The triggers keep others from writing to users until this is committed.
INSERT INTO user_counts (slot, is_admin, is_banned, users) SELECT 0, is_admin, is_banned, count(*) FROM users GROUP BY is_admin, is_banned;

-- A list of the few who are banned.
CREATE INDEX users_banned ON users (id) WHERE is_banned;
