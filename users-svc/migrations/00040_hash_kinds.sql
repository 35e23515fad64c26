-- +goose Up
-- The kind of a password hash: all of it before the salt, so the algorithm and its cost.
-- +goose StatementBegin
CREATE FUNCTION password_hash_kind(hash text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT pg_catalog.substring(hash, '^\$2.\$\d\d|^.*(?=\$[^$]*\$[^$]*$)')
$$;
-- +goose StatementEnd
