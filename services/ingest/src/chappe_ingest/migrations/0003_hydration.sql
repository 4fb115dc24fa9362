-- Deliveries that name ids alone: they wait here until the shop's API has said the rest. `key`,
-- `stream` and `record` are the delivery as it stood in the log, so that it goes back to its place.
-- Times are on the wall clock; `next_at` is also the lease of whoever asks just now.
CREATE TABLE {schema}.hydration (
    number   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source   text NOT NULL,
    kind     text NOT NULL,
    key      bytea NOT NULL,
    stream   text NOT NULL,
    record   bytea NOT NULL,
    path     text NOT NULL,
    content  text,                         -- the body of a question that is posted
    attempts int NOT NULL DEFAULT 0,
    next_at  timestamptz NOT NULL,
    deadline timestamptz NOT NULL          -- past it the delivery goes on with its ids alone
) WITH (fillfactor = 70);
CREATE INDEX hydration_due ON {schema}.hydration (source, next_at);
CREATE INDEX hydration_order ON {schema}.hydration (key, number);
