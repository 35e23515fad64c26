-- +goose Up

-- The days of which activity_histogram says when in the day a user's records were made. They are those with many records: for a few thousand,
-- a walk along the key of activity costs less than keeping that would.
CREATE TABLE activity_busy_days (
    day     date  NOT NULL,
    user_id bytea NOT NULL,
    CONSTRAINT activity_busy_days_pkey PRIMARY KEY (day, user_id)
);

-- Rows of activity_daily once more, with their records by the quarter of an hour. It has them all as long as the sum of records is the same in
-- both tables, and never more than activity_daily has. A release that does not know this table adds to activity_daily alone: then the sums
-- differ, nobody believes this table about that day, and the day is made again.
CREATE TABLE activity_histogram (
    user_id  bytea     NOT NULL,
    day      date      NOT NULL,
    realm_id bytea     NOT NULL,
    method   text      COLLATE "C" NOT NULL,
    status   smallint  NOT NULL,
    records  bigint    NOT NULL, -- the sum of buckets
    buckets  integer[] NOT NULL CONSTRAINT activity_histogram_buckets CHECK (cardinality(buckets) = 96),
    CONSTRAINT activity_histogram_pkey PRIMARY KEY (user_id, day, realm_id, method, status),
    CONSTRAINT activity_histogram_busy_day FOREIGN KEY (user_id, day) REFERENCES activity_busy_days (user_id, day) ON DELETE CASCADE
) WITH (fillfactor = 70);

-- A histogram never outlives the counts that it belongs to, also when a release that does not know it drops the day or counts anew.
-- +goose StatementBegin
CREATE FUNCTION forget_histograms() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM activity_busy_days b USING (SELECT DISTINCT day, user_id FROM gone) AS g WHERE b.day = g.day AND b.user_id = g.user_id;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER activity_daily_gone AFTER DELETE ON activity_daily REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_histograms();
