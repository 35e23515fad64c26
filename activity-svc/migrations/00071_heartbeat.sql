-- +goose Up

-- Readiness proves that the database takes writes: by a row that is updated, and by a sort that is too large for its memory, because a full disk
-- may have room in the table for one row more.
CREATE TABLE heartbeat (
    single boolean PRIMARY KEY DEFAULT true CONSTRAINT heartbeat_single CHECK (single),
    beats  bigint  NOT NULL
) WITH (fillfactor = 10);

INSERT INTO heartbeat (beats) VALUES (0);

-- +goose StatementBegin
CREATE FUNCTION heartbeat() RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT SET work_mem = '64kB' AS $$
BEGIN
    UPDATE heartbeat SET beats = beats + 1;
    PERFORM count(*) FROM (SELECT repeat('x', 8000) || n AS text FROM generate_series(1, 32) n ORDER BY text OFFSET 0) AS sorted;
END;
$$;
-- +goose StatementEnd
