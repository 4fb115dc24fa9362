-- What comes back: where providers reach us, what they said, and what it means for an address.

-- An address for one provider's webhooks, or a queue that is asked. Deleted ones are kept: what
-- still comes to them is dropped, with the reason.
CREATE TABLE {schema}.feedback_endpoint (
    id             text PRIMARY KEY,
    workspace      text NOT NULL,
    kind           text NOT NULL,
    name           text NOT NULL,
    secret         bytea,                            -- sealed; null: not set yet, deliveries wait
    topic          text,                             -- ses: the only SNS topic that is believed
    queue          bytea,                            -- ses: an SQS queue and its keys, sealed
    state          text NOT NULL DEFAULT 'active',
    created_at     timestamptz NOT NULL,
    accepted       bigint NOT NULL DEFAULT 0,
    refused        bigint NOT NULL DEFAULT 0,
    accepted_at    timestamptz,
    refused_at     timestamptz,
    refused_reason text
);
CREATE UNIQUE INDEX feedback_endpoint_name ON {schema}.feedback_endpoint (workspace, name)
    WHERE state <> 'deleted';

-- Deliveries that were read from raw.delivery, events that bear on them, an operator's decisions:
-- each is worked off by the owner of its shard. Raw bytes stay for 14 days where something failed.
CREATE TABLE {schema}.feedback_delivery (
    id            text PRIMARY KEY,
    shard         int NOT NULL,
    kind          text NOT NULL,                     -- a provider, mail, event, operator
    endpoint      text NOT NULL,
    received_at   timestamptz NOT NULL,              -- business clock
    received_wall timestamptz NOT NULL,
    headers       jsonb NOT NULL,
    body          bytea NOT NULL,
    state         text NOT NULL DEFAULT 'new',       -- new, waiting (no secret yet), done, refused
    reason        text,
    attempts      int NOT NULL DEFAULT 0,
    next_at       timestamptz NOT NULL               -- wall clock
);
CREATE INDEX feedback_delivery_new ON {schema}.feedback_delivery (shard, next_at) WHERE state = 'new';
CREATE INDEX feedback_delivery_waiting ON {schema}.feedback_delivery (endpoint) WHERE state = 'waiting';
CREATE INDEX feedback_delivery_over ON {schema}.feedback_delivery (received_wall) WHERE state <> 'new';

-- Every fact once: a repeat of a webhook finds its key here.
CREATE TABLE {schema}.feedback (
    workspace    text NOT NULL,
    key          text NOT NULL,
    message      text,
    kind         text NOT NULL,
    bounce_class text,
    permanent    boolean NOT NULL,
    provider     text NOT NULL,
    recipient    text,
    reason       text,
    machine      boolean NOT NULL,
    effect       text NOT NULL,                      -- what it changed, or why nothing
    delivery     text NOT NULL,
    occurred_at  timestamptz NOT NULL,
    heard_at     timestamptz NOT NULL,               -- wall clock
    PRIMARY KEY (workspace, key)
);
CREATE INDEX feedback_message ON {schema}.feedback (message, occurred_at);
CREATE INDEX feedback_heard ON {schema}.feedback (heard_at);

-- Soft bounces of an address since it last answered; a domain's looks are under '@domain'.
CREATE TABLE {schema}.address_health (
    workspace  text NOT NULL,
    address    text NOT NULL,
    soft       int NOT NULL DEFAULT 0,
    soft_since timestamptz,
    full_count int NOT NULL DEFAULT 0,
    full_since timestamptz,
    bad_since  timestamptz,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (workspace, address)
);

-- Verdicts of one hour at one MX site: what a spike is measured against.
CREATE TABLE {schema}.site_hour (
    workspace text NOT NULL,
    site      text NOT NULL,
    hour      timestamptz NOT NULL,
    delivered bigint NOT NULL DEFAULT 0,
    hard      bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (workspace, site, hour)
);

CREATE TABLE {schema}.feedback_policy (
    workspace  text PRIMARY KEY,
    body       jsonb NOT NULL,
    updated_at timestamptz NOT NULL
);

ALTER TABLE {schema}.suppression
    ADD COLUMN site         text,                    -- the MX site, where it is known
    ADD COLUMN bounce_class text,
    ADD COLUMN detail       text;
CREATE INDEX suppression_site ON {schema}.suppression (workspace, site, at);

CREATE TABLE {schema}.suppression_history (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace    text NOT NULL,
    address      text NOT NULL,
    scope        text NOT NULL,
    change       text NOT NULL,                      -- added, changed, removed
    reason       text NOT NULL,
    source       text,
    site         text,
    bounce_class text,
    detail       text,
    at           timestamptz NOT NULL,               -- of the suppression
    changed_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX suppression_history_address
    ON {schema}.suppression_history (workspace, address, id DESC);
CREATE INDEX suppression_history_newest ON {schema}.suppression_history (workspace, id DESC);

-- Suppressions are written by batches, hand-overs, imports and people: a trigger misses none.
CREATE FUNCTION {schema}.remember_suppression() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    one {schema}.suppression%ROWTYPE;
BEGIN
    IF TG_OP = 'DELETE' THEN
        one := OLD;
    ELSE
        one := NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.reason = NEW.reason AND OLD.at = NEW.at THEN
        RETURN NULL;
    END IF;
    INSERT INTO {schema}.suppression_history
           (workspace, address, scope, change, reason, source, site, bounce_class, detail, at)
    VALUES (one.workspace, one.address, one.scope,
            CASE TG_OP WHEN 'INSERT' THEN 'added' WHEN 'UPDATE' THEN 'changed' ELSE 'removed' END,
            one.reason, one.source, one.site, one.bounce_class, one.detail, one.at);
    RETURN NULL;
END $$;
CREATE TRIGGER remember AFTER INSERT OR UPDATE OR DELETE ON {schema}.suppression
    FOR EACH ROW EXECUTE FUNCTION {schema}.remember_suppression();
