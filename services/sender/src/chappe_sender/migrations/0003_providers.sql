-- A workspace's ways out, beside the default one.
CREATE TABLE {schema}.provider (
    id         text PRIMARY KEY,
    workspace  text NOT NULL,
    name       text NOT NULL,
    kind       text NOT NULL,
    secrets    bytea NOT NULL,                        -- sealed
    options    jsonb NOT NULL DEFAULT '{}',
    classes    text[] NOT NULL DEFAULT '{}',          -- empty: all that may go this way
    domains    text[] NOT NULL DEFAULT '{}',          -- of From; empty: all
    priority   int NOT NULL DEFAULT 100,              -- lower goes first
    state      text NOT NULL DEFAULT 'active',        -- paused by a person, stopped by doubts
    reason     text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    removed_at timestamptz
);
CREATE UNIQUE INDEX provider_name ON {schema}.provider (workspace, name) WHERE removed_at IS NULL;

-- In which request of which provider a message went, so that a lost answer can be asked for again.
ALTER TABLE {schema}.message
    ADD COLUMN provider text,                         -- null: by the default way out
    ADD COLUMN provider_message_id text,
    ADD COLUMN load_key text,
    ADD COLUMN load_place int,
    ADD COLUMN load_at timestamptz;                   -- wall clock
CREATE INDEX message_load ON {schema}.message (provider, load_key) WHERE load_key IS NOT NULL;
CREATE INDEX message_provider_message_id ON {schema}.message (provider_message_id)
    WHERE provider_message_id IS NOT NULL;
