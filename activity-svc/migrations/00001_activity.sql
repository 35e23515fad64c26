-- +goose Up

-- Ids are their 12 bytes: 6 of Unix milliseconds, 6 at random. So the id is also the time of a record, the order of a log and the key of the
-- partition, and one index serves everything. For reading by eye:
--   SELECT encode(user_id, 'hex'), to_timestamp(('x0000' || left(encode(id, 'hex'), 12))::bit(64)::bigint / 1000.0), method, path, status FROM activity
-- The columns in INCLUDE let a filter be tried, and a page be skipped, without a look at the rows.
CREATE TABLE activity (
    user_id    bytea    NOT NULL,
    id         bytea    NOT NULL,
    realm_id   bytea    NOT NULL, -- '' when none
    method     text     COLLATE "C" NOT NULL,
    path       text     COLLATE "C" NOT NULL,
    status     smallint NOT NULL,
    ip_address text     COLLATE "C" NOT NULL, -- '' when unknown
    user_agent text     COLLATE "C" NOT NULL,
    CONSTRAINT activity_pkey PRIMARY KEY (user_id, id) INCLUDE (realm_id, method, status),
    CONSTRAINT activity_ids CHECK (octet_length(id) = 12 AND octet_length(user_id) = 12)
) PARTITION BY RANGE (id);

-- The order in which records come is about that of their ids, so this finds those of the last seconds at next to no cost.
CREATE INDEX activity_id ON activity USING brin (id) WITH (pages_per_range = 32, autosummarize = on);

-- The number and the bytes of the records before activity_counted.before. Newer records are counted every few seconds; a record that comes
-- later than that is counted in the transaction that stores it. So records = counts + what is at or after that moment, in every snapshot.
CREATE TABLE activity_daily (
    user_id  bytea    NOT NULL,
    day      date     NOT NULL, -- UTC
    realm_id bytea    NOT NULL,
    method   text     COLLATE "C" NOT NULL,
    status   smallint NOT NULL,
    records  bigint   NOT NULL CONSTRAINT activity_daily_records CHECK (records > 0),
    bytes    bigint   NOT NULL,
    CONSTRAINT activity_daily_pkey PRIMARY KEY (user_id, day, realm_id, method, status)
) WITH (fillfactor = 80);

CREATE INDEX activity_daily_day ON activity_daily (day);

-- The sum of activity_daily over the days of a month that are not after activity_counted.summed_until. It keeps totals cheap over a year.
CREATE TABLE activity_monthly (
    user_id  bytea    NOT NULL,
    month    date     NOT NULL, -- its first day
    realm_id bytea    NOT NULL,
    method   text     COLLATE "C" NOT NULL,
    status   smallint NOT NULL,
    records  bigint   NOT NULL,
    bytes    bigint   NOT NULL,
    CONSTRAINT activity_monthly_pkey PRIMARY KEY (user_id, month, realm_id, method, status)
) WITH (fillfactor = 80);

CREATE TABLE activity_counted (
    single       boolean     PRIMARY KEY DEFAULT true CONSTRAINT activity_counted_single CHECK (single),
    before       timestamptz NOT NULL, -- whole milliseconds
    summed_until date        NOT NULL,
    CONSTRAINT activity_counted_days_are_over CHECK (summed_until < (before AT TIME ZONE 'UTC')::date)
);

INSERT INTO activity_counted (before, summed_until) VALUES ('1970-01-02Z', '1970-01-01');

-- Messages that can never become a record, for people to look at.
CREATE TABLE activity_dead_letters (
    digest      bytea       NOT NULL, -- SHA-256 of the payload
    stream_seq  bigint      NOT NULL,
    received_at timestamptz NOT NULL,
    reason      text        NOT NULL,
    payload     bytea       NOT NULL, -- cut to 64 KB
    CONSTRAINT activity_dead_letters_pkey PRIMARY KEY (digest, stream_seq)
);

CREATE INDEX activity_dead_letters_received_at ON activity_dead_letters (received_at);
