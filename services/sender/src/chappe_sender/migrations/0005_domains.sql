-- The domains that a workspace's mail is from, and what the last look at DNS found.
CREATE TABLE {schema}.domain (
    workspace  text NOT NULL,
    name       text NOT NULL,
    created_at timestamptz NOT NULL,
    checked_at timestamptz,
    found      jsonb,
    mismatches int NOT NULL DEFAULT 0,                -- looks in a row that saw one
    blocked    text,                                  -- why marketing waits; null: it does not
    PRIMARY KEY (workspace, name)
);

CREATE TABLE {schema}.domain_key (
    workspace  text NOT NULL,
    domain     text NOT NULL,
    selector   text NOT NULL,
    algorithm  text NOT NULL,
    secret     bytea NOT NULL,                        -- sealed
    record     text NOT NULL,                         -- to publish
    state      text NOT NULL,                         -- waiting, active, retired
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (workspace, domain, selector)
);

-- What must not be sent for now: an emergency stop, until somebody resumes it.
CREATE TABLE {schema}.stop (
    id          text PRIMARY KEY,
    workspace   text NOT NULL,
    kind        text NOT NULL,                        -- workspace, journey, template, provider, ...
    value       text NOT NULL DEFAULT '',
    provider    text,                                 -- the id of a provider that was named
    from_domain text NOT NULL,                        -- of mail whose brand kit says none
    reason      text,
    created_at  timestamptz NOT NULL,
    since       timestamptz NOT NULL,                 -- of interest: who got it since then
    resumed_at  timestamptz
);
CREATE INDEX stop_active ON {schema}.stop (workspace) WHERE resumed_at IS NULL;

-- Whether a stop is about a message; provider null: not chosen yet.
CREATE FUNCTION {schema}.covers(s {schema}.stop, m {schema}.message, provider text)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT s.workspace = m.workspace AND CASE s.kind
        WHEN 'workspace' THEN true
        WHEN 'journey' THEN m.journey = s.value
        WHEN 'template' THEN s.value IN (m.template, split_part(m.template, '@', 1))
        WHEN 'class' THEN m.message_class = s.value
        WHEN 'provider' THEN provider IS NOT NULL AND provider IN (s.value, s.provider)
        WHEN 'domain' THEN s.value IN (
             split_part(m.address_key, '@', 2),
             coalesce((SELECT lower(substring(b.body->>'from' FROM '@([^@<> ]+)>? *$'))
                         FROM {schema}.brand b WHERE b.workspace = m.workspace), s.from_domain))
        ELSE false END
$$;

CREATE FUNCTION {schema}.stopped(m {schema}.message, provider text)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT 1 FROM {schema}.stop s
                    WHERE s.resumed_at IS NULL AND {schema}.covers(s, m, provider))
$$;

-- Whether mail leaves at all, where that is not what the settings say.
CREATE TABLE {schema}.delivery (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    mode     text NOT NULL,                           -- capture, live
    reason   text,
    at       timestamptz NOT NULL,                    -- business clock
    wall_at  timestamptz NOT NULL,
    accepted text                                     -- the misfit that somebody has seen
);

-- Mail that was written and kept instead of sent.
CREATE TABLE {schema}.captured (
    message     text PRIMARY KEY,
    workspace   text NOT NULL,
    captured_at timestamptz NOT NULL,
    content     bytea NOT NULL
);
CREATE INDEX captured_old ON {schema}.captured (captured_at);

-- What all processes together may still give away in a window of time; leased in slices.
CREATE TABLE {schema}.quota (
    key    text NOT NULL,
    period bigint NOT NULL,
    used   int NOT NULL,
    PRIMARY KEY (key, period)
);
