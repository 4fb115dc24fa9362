-- What holds for every journey of a workspace: cadence, zones, holdout, test recipients, winners.
CREATE TABLE {schema}.journey_settings (
    workspace  text PRIMARY KEY,
    doc        bytea NOT NULL,               -- canonical JSON
    updated_at timestamptz NOT NULL
);

-- Webhooks and notices that steps asked for: written with the batch, made by a worker.
CREATE TABLE {schema}.call (
    id        text PRIMARY KEY,
    shard     int NOT NULL,
    workspace text NOT NULL,
    contact   text NOT NULL,
    state     text NOT NULL DEFAULT 'pending',   -- pending, done, failed, cancelled
    attempts  int NOT NULL DEFAULT 0,
    next_at   timestamptz NOT NULL,
    deadline  timestamptz NOT NULL,
    reason    text,
    ended_at  timestamptz,
    doc       bytea NOT NULL
) WITH (fillfactor = 80);

CREATE INDEX call_pending ON {schema}.call (next_at) WHERE state = 'pending';
CREATE INDEX call_ended ON {schema}.call (ended_at) WHERE state <> 'pending';

-- How far a shard has looked at its contacts for a journey that a date or a silence begins.
CREATE TABLE {schema}.watch_sweep (
    shard     int NOT NULL,
    workspace text NOT NULL,
    journey   text NOT NULL,
    version   int NOT NULL,
    after     text NOT NULL,
    done      boolean NOT NULL,
    PRIMARY KEY (shard, workspace, journey)
);

-- When this database's orchestrators were last seen at work, on the wall clock.
CREATE TABLE {schema}.heartbeat (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    alive_at timestamptz NOT NULL
);
