-- +goose Up
-- Every run of one, two and three characters of a text: what the index of the search holds. It stands in for the extension pg_trgm, which
-- whoever may not create extensions could not have, and which knows no search for one or two characters.
-- +goose StatementBegin
CREATE FUNCTION search_grams(value text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT coalesce(pg_catalog.array_agg(pg_catalog.substr(value, i, n)), '{}')
    FROM pg_catalog.generate_series(1, 3) AS n, pg_catalog.generate_series(1, pg_catalog.length(value) - n + 1) AS i
$$;
-- +goose StatementEnd
