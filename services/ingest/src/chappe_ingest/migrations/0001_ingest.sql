-- Where deliveries come from. `id` is unguessable: it is in the URL.
CREATE TABLE {schema}.source (
    id         text PRIMARY KEY,
    workspace  text NOT NULL,
    kind       text NOT NULL,
    name       text NOT NULL,
    namespace  text NOT NULL,              -- '' = ids are taken as they are
    role       text NOT NULL DEFAULT 'store',
    domains    text[] NOT NULL DEFAULT '{}',
    public     boolean NOT NULL DEFAULT false,
    state      text NOT NULL CHECK (state IN ('active', 'awaiting_secret', 'paused', 'deleted')),
    created_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX source_name ON {schema}.source (workspace, name) WHERE state <> 'deleted';

-- Encrypted with CHAPPE_SECRET_KEY; the older of two stops counting at `not_after`.
CREATE TABLE {schema}.source_secret (
    source     text NOT NULL REFERENCES {schema}.source ON DELETE CASCADE,
    number     int NOT NULL,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL,
    not_after  timestamptz,
    PRIMARY KEY (source, number)
);

-- What the edges have seen, added up every few seconds: `sources status` reads it in words.
CREATE TABLE {schema}.source_seen (
    source        text PRIMARY KEY REFERENCES {schema}.source ON DELETE CASCADE,
    accepted      bigint NOT NULL DEFAULT 0,
    refused       bigint NOT NULL DEFAULT 0,
    accepted_at   timestamptz,
    refused_at    timestamptz,
    refused_because text
) WITH (fillfactor = 50);

CREATE TABLE {schema}.contact (
    workspace  text NOT NULL,
    id         text NOT NULL,
    created_at timestamptz NOT NULL,
    stated     jsonb NOT NULL DEFAULT '{}',  -- what each source last said of a consent, and since when
    PRIMARY KEY (workspace, id)
) WITH (fillfactor = 80);

-- Who an identifier is. `contact` is null between the lock and the commit, and for values that
-- nobody may claim yet. `ordered`: a token that an order had; its cart is no longer abandoned.
CREATE TABLE {schema}.identifier (
    workspace text NOT NULL,
    type      text NOT NULL,
    value     text NOT NULL,
    contact   text,
    scope     text NOT NULL DEFAULT '',
    trusted   boolean NOT NULL DEFAULT false,
    ordered   boolean NOT NULL DEFAULT false,
    PRIMARY KEY (workspace, type, value)
) WITH (fillfactor = 70);
CREATE INDEX identifier_contact ON {schema}.identifier (workspace, contact);

-- Deliveries of the last days, by the sender's own id, else by ours.
CREATE TABLE {schema}.delivery_seen (
    source text NOT NULL,
    key    text NOT NULL,
    at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, key)
);
CREATE INDEX delivery_seen_at ON {schema}.delivery_seen (at);

-- Facts that happen once, for ever.
CREATE TABLE {schema}.semantic_key (
    workspace text NOT NULL,
    key       text NOT NULL,
    PRIMARY KEY (workspace, key)
);

CREATE TABLE {schema}.object_version (
    workspace text NOT NULL,
    scope     text NOT NULL,
    type      text NOT NULL,
    id        text NOT NULL,
    version   text NOT NULL DEFAULT '',
    PRIMARY KEY (workspace, scope, type, id)
) WITH (fillfactor = 80);

-- An identifier that stayed where it was although an event for somebody else named it.
CREATE TABLE {schema}.identity_conflict (
    workspace text NOT NULL,
    type      text NOT NULL,
    value     text NOT NULL,
    wanted_by text NOT NULL,
    held_by   text,
    reason    text NOT NULL,
    times     bigint NOT NULL DEFAULT 1,
    last_at   timestamptz NOT NULL,
    PRIMARY KEY (workspace, type, value, wanted_by)
);
