-- What each source may say of its shop. Where nobody chose, the kind does.
ALTER TABLE {schema}.source ALTER COLUMN role DROP NOT NULL;
ALTER TABLE {schema}.source ALTER COLUMN role DROP DEFAULT;
UPDATE {schema}.source SET role = NULL;
ALTER TABLE {schema}.source ADD CONSTRAINT source_role_check
    CHECK (role IN ('store', 'payments', 'subscriptions'));

-- How far a table of contacts is in, so that an import goes on where it was cut off.
CREATE TABLE {schema}.import (
    workspace text NOT NULL,
    id        text NOT NULL,
    next_row  int NOT NULL,
    taken     bigint NOT NULL,
    refused   bigint NOT NULL,
    done      boolean NOT NULL,
    at        timestamptz NOT NULL,        -- wall clock
    PRIMARY KEY (workspace, id)
);
CREATE INDEX import_at ON {schema}.import (at);

-- What the door and the resolver know of how a source is doing (section by section of its status).
ALTER TABLE {schema}.source_seen
    ADD COLUMN repeats     bigint NOT NULL DEFAULT 0,
    ADD COLUMN dead        bigint NOT NULL DEFAULT 0,
    ADD COLUMN dead_at     timestamptz,
    ADD COLUMN dead_because text,
    ADD COLUMN gap_seconds double precision;   -- the usual time between two deliveries
