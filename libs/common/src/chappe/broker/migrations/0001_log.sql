-- The embedded log. A row of log.partition is the lock under which offsets are given out, so
-- that records become visible in the order of their offsets.
CREATE SCHEMA IF NOT EXISTS log;

CREATE TABLE log.partition (
    stream       text COLLATE "C" NOT NULL,
    partition    int    NOT NULL,
    first_offset bigint NOT NULL DEFAULT 0,
    next_offset  bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (stream, partition),
    CHECK (first_offset <= next_offset)
) WITH (fillfactor = 10);

CREATE TABLE log.record (
    stream      text COLLATE "C" NOT NULL,
    partition   int         NOT NULL,
    "offset"    bigint      NOT NULL,
    appended_at timestamptz NOT NULL DEFAULT now(),
    key         bytea       NOT NULL,
    value       bytea       NOT NULL,
    PRIMARY KEY (stream, partition, "offset")
);

-- Values are compressed by nobody: they are read once and dropped.
ALTER TABLE log.record ALTER COLUMN value SET STORAGE EXTERNAL;

-- How far each consumer says it has read. trim looks here; nobody resumes from here.
CREATE TABLE log.position (
    consumer    text COLLATE "C" NOT NULL,
    stream      text COLLATE "C" NOT NULL,
    partition   int    NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (stream, consumer, partition)
) WITH (fillfactor = 20);
