-- A contact's timeline, line by line. The key is also what a repeat is known by.
CREATE TABLE {schema}.entry (
    workspace text NOT NULL,
    contact   text NOT NULL,
    id        text NOT NULL,
    at        timestamptz NOT NULL,
    seq       bigint GENERATED ALWAYS AS IDENTITY,   -- order among lines of one instant
    kind      text NOT NULL,
    doc       bytea NOT NULL,
    PRIMARY KEY (workspace, contact, id)
);
CREATE INDEX entry_newest ON {schema}.entry (workspace, contact, at DESC, seq DESC);

-- The canonical events of the last days, as `events tail` shows them, by their place in the log.
CREATE TABLE {schema}.event (
    shard     int NOT NULL,
    stream    text NOT NULL,
    "offset"  bigint NOT NULL,
    workspace text NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    body      bytea NOT NULL,
    PRIMARY KEY (shard, stream, "offset")
);
CREATE INDEX event_stored ON {schema}.event (stored_at, shard, stream, "offset");

-- Each open and click as it was judged; what a repeat is known by.
CREATE TABLE {schema}.hit (
    id        text PRIMARY KEY,
    message   text NOT NULL,
    kind      text NOT NULL,
    link      int NOT NULL,
    verdict   text NOT NULL,
    at        timestamptz NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX hit_stored ON {schema}.hit (stored_at);

-- How often each link and pixel was touched, by verdict.
CREATE TABLE {schema}.engagement (
    message text NOT NULL,
    kind    text NOT NULL,
    link    int NOT NULL,
    human   int NOT NULL,
    unsure  int NOT NULL,
    machine int NOT NULL,
    PRIMARY KEY (message, kind, link)
) WITH (fillfactor = 80);

-- What became of each message; the counts of its step are the sum of these.
CREATE TABLE {schema}.message (
    id         text PRIMARY KEY,
    workspace  text NOT NULL,
    contact    text NOT NULL,
    touched_at timestamptz,                          -- by a reader: an order may be owed to it
    doc        bytea NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX message_touched ON {schema}.message (workspace, contact, touched_at)
    WHERE touched_at IS NOT NULL;

-- Numbers. Each row is changed by its shard's owner alone.
CREATE TABLE {schema}.tally (
    workspace text NOT NULL,
    journey   text NOT NULL,
    version   int NOT NULL,
    step      text NOT NULL,
    measure   text NOT NULL,
    reason    text NOT NULL,
    shard     int NOT NULL,
    n         numeric NOT NULL,
    PRIMARY KEY (workspace, journey, version, step, measure, reason, shard)
) WITH (fillfactor = 70);
