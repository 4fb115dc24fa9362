-- Contacts that are here no more. `into`: what comes for them is sent on there; null: forgotten,
-- and what comes for them is dropped.
CREATE TABLE {schema}.gone (
    shard     int NOT NULL,
    contact   text NOT NULL,
    workspace text NOT NULL,
    "into"    text,
    at        timestamptz NOT NULL,
    PRIMARY KEY (shard, contact)
);
