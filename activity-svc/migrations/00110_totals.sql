-- +goose Up

-- The sums of activity_hourly over all users and realms, of the hours before activity_watermark.totals_before. They keep an admin's chart of a year
-- cheap. A replica of the previous release does not add records to them that come after their hour was summed; the command recount does.
CREATE TABLE activity_totals (
    hour    timestamptz NOT NULL,
    method  text        COLLATE "C" NOT NULL,
    status  smallint    NOT NULL,
    records bigint      NOT NULL CONSTRAINT activity_totals_records CHECK (records > 0),
    CONSTRAINT activity_totals_pkey PRIMARY KEY (hour, method, status) INCLUDE (records)
) WITH (fillfactor = 80);

-- The sums of activity_totals over each day (UTC) that ended before totals_before.
CREATE TABLE activity_totals_daily (
    day     date     NOT NULL,
    method  text     COLLATE "C" NOT NULL,
    status  smallint NOT NULL,
    records bigint   NOT NULL CONSTRAINT activity_totals_daily_records CHECK (records > 0),
    CONSTRAINT activity_totals_daily_pkey PRIMARY KEY (day, method, status) INCLUDE (records)
) WITH (fillfactor = 80);

ALTER TABLE activity_watermark ADD COLUMN totals_before timestamptz NOT NULL DEFAULT '1970-01-01Z'; -- a whole hour
