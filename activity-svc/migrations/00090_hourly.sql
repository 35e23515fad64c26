-- +goose Up

-- Counts by the hour replace counts by the day with histograms of busy days. They are made from the records, a day at a time, by the replica that
-- maintains the log; until the watermark has come that far, totals come from the records themselves.
-- The lock waits for the transactions of the previous release that store or count.
LOCK TABLE activity_counted;
DROP TABLE activity_histogram, activity_busy_days, activity_monthly, activity_daily, activity_counted;
DROP FUNCTION forget_histograms();

-- The number and the bytes of the records before activity_watermark.counted_before. Newer records are counted every few seconds; a record that
-- comes later than that is counted in the transaction that stores it. So records = counts + what is at or after that moment, in every snapshot.
CREATE TABLE activity_hourly (
    user_id  bytea       NOT NULL,
    hour     timestamptz NOT NULL, -- its first moment
    realm_id bytea       NOT NULL,
    method   text        COLLATE "C" NOT NULL,
    status   smallint    NOT NULL,
    records  bigint      NOT NULL CONSTRAINT activity_hourly_records CHECK (records > 0),
    bytes    bigint      NOT NULL,
    CONSTRAINT activity_hourly_pkey PRIMARY KEY (user_id, hour, realm_id, method, status)
) WITH (fillfactor = 80);

CREATE INDEX activity_hourly_hour ON activity_hourly (hour);

-- The sums of activity_hourly over each day (UTC) that ended before the watermark. They keep totals cheap over a year.
CREATE TABLE activity_daily (
    user_id  bytea    NOT NULL,
    day      date     NOT NULL,
    realm_id bytea    NOT NULL,
    method   text     COLLATE "C" NOT NULL,
    status   smallint NOT NULL,
    records  bigint   NOT NULL CONSTRAINT activity_daily_records CHECK (records > 0),
    bytes    bigint   NOT NULL,
    CONSTRAINT activity_daily_pkey PRIMARY KEY (user_id, day, realm_id, method, status) INCLUDE (records, bytes)
);

CREATE INDEX activity_daily_day ON activity_daily (day);

-- For the days of one realm among many.
CREATE INDEX activity_daily_realm ON activity_daily (user_id, realm_id, day);

CREATE TABLE activity_watermark (
    single         boolean     PRIMARY KEY DEFAULT true CONSTRAINT activity_watermark_single CHECK (single),
    counted_before timestamptz NOT NULL -- whole milliseconds
);

INSERT INTO activity_watermark (counted_before) VALUES ('1970-01-01Z');

-- What replicas of the previous release find until they are stopped; the next release drops it. They read: days that are over from activity_daily,
-- the rest from the records. What they cannot do is store or count, because they do not count by the hour: a transaction that is not read-only fails
-- as it reads how far the log is counted, with an error after which events wait for a replica of this release.
CREATE VIEW activity_counted AS
    SELECT true AS single,
           CASE WHEN current_setting('transaction_read_only')::boolean THEN date_trunc('day', counted_before, 'UTC')
                ELSE current_setting('activity_svc.only_newer_releases_store')::timestamptz END AS before,
           date '1970-01-01' AS summed_until
    FROM activity_watermark;

CREATE VIEW activity_monthly AS
    SELECT user_id, day AS month, realm_id, method, status, records, bytes FROM activity_daily WHERE false;

CREATE VIEW activity_histogram AS
    SELECT user_id, day, realm_id, method, status, records, NULL::integer[] AS buckets FROM activity_daily WHERE false;
