-- A contact that was merged away, and the one it is now. Always one hop: a merge moves the older
-- rows along.
CREATE TABLE {schema}.contact_redirect (
    workspace text NOT NULL,
    contact   text NOT NULL,
    "into"    text NOT NULL,
    at        timestamptz NOT NULL,
    PRIMARY KEY (workspace, contact)
);
CREATE INDEX contact_redirect_into ON {schema}.contact_redirect (workspace, "into");

-- What we must not bring back, by keyed hash: nobody can read an address from it. `times` makes
-- the next contact of the same name another one.
CREATE TABLE {schema}.erased_identifier (
    workspace text NOT NULL,
    digest    text NOT NULL,
    at        timestamptz NOT NULL,
    times     int NOT NULL DEFAULT 1,
    PRIMARY KEY (workspace, digest)
);

-- Who was erased, when, on whose word. Names nobody but our own id, which is nobody's any more.
CREATE TABLE {schema}.erasure (
    id          text PRIMARY KEY,           -- of the event
    workspace   text NOT NULL,
    contact     text,                       -- null: nobody was known by what was asked
    source      text,
    asked_at    timestamptz NOT NULL,
    at          timestamptz NOT NULL,
    identifiers int NOT NULL,
    swept_at    timestamptz                 -- dead letters and the quarantine were looked through
);
CREATE INDEX erasure_unswept ON {schema}.erasure (at) WHERE swept_at IS NULL;
CREATE INDEX erasure_contact ON {schema}.erasure (workspace, contact);

-- Deliveries left out because they name somebody who was erased.
CREATE TABLE {schema}.erased_dropped (
    source text PRIMARY KEY,
    n      bigint NOT NULL,
    at     timestamptz NOT NULL
) WITH (fillfactor = 50);

-- A shop asks to erase everybody it ever told us of. An operator decides, before `due_at`.
CREATE TABLE {schema}.shop_erasure (
    id           text PRIMARY KEY,
    workspace    text NOT NULL,
    source       text NOT NULL,
    scope        text NOT NULL,             -- whose customers' numbers these are
    shop         text,
    asked_at     timestamptz NOT NULL,
    due_at       timestamptz NOT NULL,
    state        text NOT NULL CHECK (state IN ('waiting', 'running', 'done')),
    cursor       text NOT NULL DEFAULT '',  -- the last contact that was looked at
    erased       bigint NOT NULL DEFAULT 0,
    kept         bigint NOT NULL DEFAULT 0, -- known through another source too
    confirmed_at timestamptz,
    finished_at  timestamptz
);
CREATE INDEX shop_erasure_source ON {schema}.shop_erasure (source, asked_at);
CREATE INDEX identifier_scope ON {schema}.identifier (workspace, scope, contact)
    WHERE type = 'external_id';
