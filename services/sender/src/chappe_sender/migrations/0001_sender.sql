-- One row per message ever asked for: the ledger. Its key is the derived message id alone.
CREATE TABLE {schema}.message (
    id              text PRIMARY KEY,
    shard           int NOT NULL,
    workspace       text NOT NULL,
    contact         text NOT NULL,
    enrollment      text,
    journey         text,
    version         int,
    step            text,
    template        text,
    message_class   text,
    topic           text,
    address         text,
    address_key     text,
    locale          text,
    test            boolean NOT NULL DEFAULT false,
    priority        smallint NOT NULL DEFAULT 1,      -- 0 transactional, 1 marketing, 2 bulk
    state           text NOT NULL,
    committing      boolean NOT NULL DEFAULT false,   -- content may be on the wire
    held            boolean NOT NULL DEFAULT false,   -- its journey is paused
    reason          text,
    detail          text,
    epoch           bigint,                           -- of the shard, when it was claimed
    attempts        int NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    asked_at        timestamptz NOT NULL,
    due_at          timestamptz,
    deadline        timestamptz,
    accepted_at     timestamptz,
    updated_at      timestamptz NOT NULL,
    dated_at        timestamptz,                      -- wall clock: the Date header of every attempt
    need_live       bigint NOT NULL DEFAULT 0,        -- what must be read of events before hand-over
    need_bulk       bigint NOT NULL DEFAULT 0,
    header_id       text,                             -- the Message-ID header
    subject         text,
    snapshot        bytea
) WITH (fillfactor = 70);
CREATE INDEX message_due ON {schema}.message (priority, next_attempt_at)
    WHERE state IN ('pending', 'scheduled') AND NOT held;
CREATE INDEX message_sending ON {schema}.message (shard) WHERE state = 'sending';
CREATE INDEX message_held ON {schema}.message (shard, workspace, journey) WHERE held;
CREATE INDEX message_contact ON {schema}.message (workspace, contact, asked_at DESC, id DESC);
CREATE INDEX message_address ON {schema}.message (workspace, address_key, asked_at DESC, id DESC);
CREATE INDEX message_asked ON {schema}.message (workspace, asked_at DESC, id DESC);

-- What a contact agreed to, as the sender itself has read it from events.
CREATE TABLE {schema}.permission (
    workspace  text NOT NULL,
    contact    text NOT NULL,
    state      text,                                  -- null: never said anything
    at         timestamptz,
    source     text,
    proof      text,
    topics_out jsonb NOT NULL DEFAULT '[]',
    erased     boolean NOT NULL DEFAULT false,
    PRIMARY KEY (workspace, contact)
);

-- Addresses that must not be written to. scope '' is everything, else one topic.
CREATE TABLE {schema}.suppression (
    workspace text NOT NULL,
    address   text NOT NULL,
    scope     text NOT NULL DEFAULT '',
    reason    text NOT NULL,                          -- unsubscribed, erased: until a newer consent
    at        timestamptz NOT NULL,                   -- complained, bounced, manual: every mail
    source    text,
    PRIMARY KEY (workspace, address, scope)
);

-- Journeys on hold, per shard, so that what is asked for meanwhile waits too.
CREATE TABLE {schema}.hold (
    shard     int NOT NULL,
    workspace text NOT NULL,
    journey   text NOT NULL,
    at        timestamptz NOT NULL,
    PRIMARY KEY (shard, workspace, journey)
);

-- Published templates: versions are immutable, and content-addressed.
CREATE TABLE {schema}.template_version (
    workspace     text NOT NULL,
    id            text NOT NULL,
    name          text NOT NULL,
    message_class text NOT NULL,
    topic         text,
    body          bytea NOT NULL,                     -- compiled
    files         jsonb NOT NULL,                     -- as uploaded
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (workspace, id)
);

CREATE TABLE {schema}.template (
    workspace  text NOT NULL,
    name       text NOT NULL,
    version    text NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (workspace, name)
);

CREATE TABLE {schema}.brand (
    workspace  text PRIMARY KEY,
    body       jsonb NOT NULL,
    updated_at timestamptz NOT NULL
);
