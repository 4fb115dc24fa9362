-- One row for each shop that can be asked. Whoever holds the lease asks; nobody else does.
-- Leases and `next_at` are on the wall clock.
CREATE TABLE {schema}.puller (
    source      text PRIMARY KEY REFERENCES {schema}.source ON DELETE CASCADE,
    holder      text,
    lease_until timestamptz,
    next_at     timestamptz NOT NULL,          -- when it wants a turn
    poll_at     timestamptz,                   -- when reconciliation is due; null: at once
    polled_at   timestamptz,                   -- when it last came to its end
    failures    int NOT NULL DEFAULT 0,        -- in a row
    problem     text,                          -- why the last turn failed, in words
    pulled      bigint NOT NULL DEFAULT 0      -- documents that reconciliation passed on
) WITH (fillfactor = 50);

-- How far each kind of document was reconciled: the shop's own times, and what was seen since a
-- little before, so that it is not passed on again. `cursor`: in the middle of a pass.
CREATE TABLE {schema}.pull_mark (
    source  text NOT NULL REFERENCES {schema}.source ON DELETE CASCADE,
    subject text NOT NULL,
    at      timestamptz NOT NULL,
    cursor  text,
    tail    text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (source, subject)
) WITH (fillfactor = 50);

CREATE TABLE {schema}.backfill (
    id          text PRIMARY KEY,
    workspace   text NOT NULL,
    source      text NOT NULL REFERENCES {schema}.source ON DELETE CASCADE,
    since       timestamptz NOT NULL,
    until       timestamptz NOT NULL,
    state       text NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'cancelled', 'failed')),
    subject     text,                          -- which kind of document it is at; null: not begun
    at          timestamptz,                   -- and up to when, by the shop's times
    cursor      text,
    done        bigint NOT NULL DEFAULT 0,
    total       bigint,                        -- null: the shop does not say
    failures    int NOT NULL DEFAULT 0,        -- in a row
    note        text,
    created_at  timestamptz NOT NULL,
    finished_at timestamptz
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX backfill_one ON {schema}.backfill (source) WHERE state IN ('waiting', 'running');
CREATE INDEX backfill_source ON {schema}.backfill (source, created_at);

-- An unsubscribe that a shop does not know yet. A divergence is one that it cannot be told.
CREATE TABLE {schema}.write_back (
    source      text NOT NULL REFERENCES {schema}.source ON DELETE CASCADE,
    contact     text NOT NULL,
    workspace   text NOT NULL,
    external_id text,                          -- the shop's own number of its customer
    wanted      text NOT NULL CHECK (wanted = 'unsubscribed'),
    at          timestamptz NOT NULL,          -- when the contact said so, on the business clock
    state       text NOT NULL CHECK (state IN ('pending', 'written', 'divergent', 'overtaken')),
    attempts    int NOT NULL DEFAULT 0,
    next_at     timestamptz,                   -- wall clock
    give_up_at  timestamptz,                   -- wall clock
    reason      text,                          -- why it is divergent, or still pending
    changed_at  timestamptz NOT NULL,          -- wall clock
    PRIMARY KEY (source, contact)
) WITH (fillfactor = 70);
CREATE INDEX write_back_due ON {schema}.write_back (source, next_at) WHERE state = 'pending';
CREATE INDEX write_back_divergent ON {schema}.write_back (source, at) WHERE state = 'divergent';
