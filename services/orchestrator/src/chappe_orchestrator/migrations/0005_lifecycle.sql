-- An archived journey takes nobody in; those inside walk on.
ALTER TABLE {schema}.journey ADD COLUMN archived boolean NOT NULL DEFAULT false;

-- Columns that never change, so that updates still stay in place.
CREATE INDEX enrollment_listed ON {schema}.enrollment (workspace, journey, entered_at);

-- Resumed a few at a time, by place.
DROP INDEX {schema}.enrollment_held;
CREATE INDEX enrollment_held ON {schema}.enrollment (shard, contact, id) WHERE held;

-- How many stand where, kept with each batch. A batch writes all it counts under one of its own
-- shards: only the sum over shards says something. `place`: the step, or why it ended.
CREATE TABLE {schema}.enrollment_count (
    workspace text NOT NULL,
    journey   text NOT NULL,
    version   int NOT NULL,
    status    text NOT NULL,
    place     text NOT NULL,
    shard     int NOT NULL,
    people    bigint NOT NULL,
    held      bigint NOT NULL,
    PRIMARY KEY (workspace, journey, version, status, place, shard)
) WITH (fillfactor = 50);
INSERT INTO {schema}.enrollment_count
SELECT workspace, journey, version, status,
       CASE WHEN status = 'active' THEN coalesce(step, '') ELSE coalesce(reason, 'finished') END,
       shard, count(*), count(*) FILTER (WHERE held)
  FROM {schema}.enrollment GROUP BY 1, 2, 3, 4, 5, 6;

-- Everybody inside some versions of a journey is asked to change version, or to leave: a page of
-- commands at a time, from a place that is kept.
CREATE TABLE {schema}.crowd_move (
    id            text PRIMARY KEY,
    workspace     text NOT NULL,
    journey       text NOT NULL,
    versions      int[] NOT NULL,
    doc           bytea NOT NULL,
    state         text NOT NULL DEFAULT 'running',   -- running, done
    passes        int NOT NULL DEFAULT 0,
    after_at      timestamptz,
    after_id      text NOT NULL DEFAULT '',
    asked         bigint NOT NULL DEFAULT 0,
    next_at       timestamptz NOT NULL,              -- the wall clock's
    created_at    timestamptz NOT NULL,
    ended_at      timestamptz
);
CREATE INDEX crowd_move_running ON {schema}.crowd_move (next_at) WHERE state = 'running';
