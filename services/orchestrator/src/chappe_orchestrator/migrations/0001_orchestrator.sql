-- The two hot tables have no second index and room on their pages, so that updates stay in place.
CREATE TABLE {schema}.profile (
    shard      int NOT NULL,
    contact    text NOT NULL,
    workspace  text NOT NULL,
    doc        bytea NOT NULL,
    PRIMARY KEY (shard, contact)
) WITH (fillfactor = 80);

CREATE TABLE {schema}.enrollment (
    shard      int NOT NULL,
    contact    text NOT NULL,
    id         text NOT NULL,
    workspace  text NOT NULL,
    journey    text NOT NULL,
    version    int NOT NULL,
    key        text NOT NULL,
    step       text,
    status     text NOT NULL,
    reason     text,
    held       boolean NOT NULL,
    token      bigint NOT NULL,
    due_at     timestamptz,
    entered_at timestamptz NOT NULL,
    watch_until timestamptz,                -- a goal may still be reached until then
    doc        bytea NOT NULL,
    PRIMARY KEY (shard, contact, id)
) WITH (fillfactor = 80);

-- Held by a pause, a rare state: found again when the journey is resumed.
CREATE INDEX enrollment_held ON {schema}.enrollment (shard) WHERE held;

-- Which keys were entered and which were closed, whether or not an enrollment exists.
CREATE TABLE {schema}.journey_key (
    shard      int NOT NULL,
    contact    text NOT NULL,
    journey    text NOT NULL,
    value      text NOT NULL,
    entered_at timestamptz,
    closed_at  timestamptz,
    enrollment text,
    PRIMARY KEY (shard, contact, journey, value)
);

-- Narrow, one writer per shard, read from a lower bound on.
CREATE TABLE {schema}.timer (
    shard        int NOT NULL,
    due_at       timestamptz NOT NULL,
    subject_kind smallint NOT NULL,         -- 1: an enrollment
    subject_id   text NOT NULL,
    token        bigint NOT NULL,
    contact      text NOT NULL,
    PRIMARY KEY (shard, due_at, subject_kind, subject_id, token)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
        autovacuum_vacuum_cost_delay = 0);

-- Moves whenever what a batch must know of journeys changes.
CREATE TABLE {schema}.definitions (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    generation bigint NOT NULL
);
INSERT INTO {schema}.definitions (generation) VALUES (0);

CREATE TABLE {schema}.journey (
    workspace  text NOT NULL,
    name       text NOT NULL,
    draft      bytea,
    version    int,                          -- the current one; NULL: never published
    paused     boolean NOT NULL DEFAULT false,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (workspace, name)
);

CREATE TABLE {schema}.journey_version (
    workspace    text NOT NULL,
    name         text NOT NULL,
    version      int NOT NULL,
    definition   bytea NOT NULL,             -- canonical JSON
    templates    bytea NOT NULL,             -- {name: {version, class, topic}}
    published_at timestamptz NOT NULL,
    PRIMARY KEY (workspace, name, version)
);

-- A contact whose step failed is set aside with everything that comes for it, in order.
CREATE TABLE {schema}.parked_contact (
    shard     int NOT NULL,
    contact   text NOT NULL,
    workspace text NOT NULL,
    reason    text NOT NULL,
    parked_at timestamptz NOT NULL,
    PRIMARY KEY (shard, contact)
);

CREATE TABLE {schema}.parked_event (
    shard    int NOT NULL,
    contact  text NOT NULL,
    number   bigint GENERATED ALWAYS AS IDENTITY,
    stream   text NOT NULL,
    "offset" bigint NOT NULL,
    body     bytea NOT NULL,
    PRIMARY KEY (shard, contact, number)
);
