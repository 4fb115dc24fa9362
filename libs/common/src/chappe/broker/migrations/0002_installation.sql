-- Which broker this database belongs to: one row, written before anything is created on the broker.
CREATE SCHEMA IF NOT EXISTS chappe;

CREATE TABLE chappe.installation (
    one        boolean     PRIMARY KEY DEFAULT true CHECK (one),
    id         text        NOT NULL,
    broker     text        NOT NULL CHECK (broker IN ('embedded', 'kafka')),
    cluster    text        NOT NULL,
    prefix     text        NOT NULL,
    partitions int         NOT NULL,
    streams    text[]      NOT NULL DEFAULT '{}',
    state      text        NOT NULL DEFAULT 'creating' CHECK (state IN ('creating', 'ready')),
    created_at timestamptz NOT NULL DEFAULT now()
);
