ALTER TABLE {schema}.source DROP CONSTRAINT source_state_check;
ALTER TABLE {schema}.source ADD CONSTRAINT source_state_check
    CHECK (state IN ('active', 'awaiting_secret', 'paused', 'disabled', 'deleted'));

-- The mapping of a generic source; and the key for asking the shop back, sealed.
ALTER TABLE {schema}.source
    ADD COLUMN config jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN api_token bytea,
    ADD COLUMN note text;                  -- why it was paused, or what an operator must see

-- What came before the vendor's secret was known, sealed: verified and passed on once it is.
CREATE TABLE {schema}.quarantine (
    source      text NOT NULL REFERENCES {schema}.source ON DELETE CASCADE,
    id          text NOT NULL,
    sealed      bytea NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (source, id)
);

-- Dead letters that were sent through the resolver again.
CREATE TABLE {schema}.replayed (
    letter  text PRIMARY KEY,
    replay  text NOT NULL,
    effects boolean NOT NULL,
    at      timestamptz NOT NULL
);
