-- Segments as they were last written; the generation of `definitions` moves with them.
CREATE TABLE {schema}.segment (
    workspace  text NOT NULL,
    name       text NOT NULL,
    definition bytea NOT NULL,               -- canonical JSON
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (workspace, name)
);

-- The events that a condition may ask more of than a profile counts. Written with the batch, only
-- for names that are always kept or that a published condition asks for.
CREATE TABLE {schema}.event_history (
    shard   int NOT NULL,
    contact text NOT NULL,
    name    text NOT NULL,
    at      timestamptz NOT NULL,
    event   text NOT NULL,
    data    jsonb NOT NULL,
    PRIMARY KEY (shard, contact, name, at, event)
);

-- What conditions call: chappe.journey.sql.FUNCTIONS.
CREATE OR REPLACE FUNCTION {schema}.condition_number(value jsonb) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN jsonb_typeof(value) = 'number' THEN value::numeric END
$$;

CREATE OR REPLACE FUNCTION {schema}.condition_amount(value jsonb, currency text) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN jsonb_typeof(value) = 'object' AND value -> 'currency' = to_jsonb(currency)
                THEN CASE jsonb_typeof(value -> 'amount')
                     WHEN 'number' THEN (value -> 'amount')::numeric
                     WHEN 'string' THEN
                          CASE WHEN value ->> 'amount' ~ '^-?[0-9]{1,20}(?:[.][0-9]{1,10})?$'
                               THEN (value ->> 'amount')::numeric END
                     END
           END
$$;

CREATE OR REPLACE FUNCTION {schema}.condition_month(day date) RETURNS int
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT extract(day FROM date_trunc('month', day::timestamp) + interval '1 month - 1 day')::int
$$;

CREATE OR REPLACE FUNCTION {schema}.condition_instant(value jsonb) RETURNS timestamptz
    LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN jsonb_typeof(value) = 'string' AND value #>> '{}'
                     ~ '^(?:1[89]|2[01])[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])(?:[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])?)?$'
                THEN (SELECT CASE
                        WHEN substr(t, 9, 2)::int > {schema}.condition_month(
                             make_date(substr(t, 1, 4)::int, substr(t, 6, 2)::int, 1)) THEN NULL
                        WHEN length(t) = 10 THEN (t || 'T00:00Z')::timestamptz
                        WHEN t ~ '(?:Z|[+-][0-9]{2}:[0-9]{2})$' THEN t::timestamptz
                        ELSE (t || 'Z')::timestamptz END
                        FROM (SELECT value #>> '{}' AS t) said)
           END
$$;

CREATE OR REPLACE FUNCTION {schema}.condition_day_of_year(value jsonb, zone text) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE
           WHEN {schema}.condition_instant(value) IS NOT NULL THEN
                CASE WHEN length(value #>> '{}') > 10
                      AND value #>> '{}' ~ '(?:Z|[+-][0-9]{2}:[0-9]{2})$'
                     THEN to_char({schema}.condition_instant(value) AT TIME ZONE zone, 'MM-DD')
                     ELSE substr(value #>> '{}', 6, 5) END
           WHEN jsonb_typeof(value) = 'string'
            AND value #>> '{}' ~ '^(?:--)?(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])$' THEN
                CASE WHEN right(value #>> '{}', 2)::int <= {schema}.condition_month(
                          make_date(2000, left(right(value #>> '{}', 5), 2)::int, 1))
                     THEN right(value #>> '{}', 5) END
           END
$$;

CREATE OR REPLACE FUNCTION {schema}.condition_returns(
    value jsonb, today date, zone text, within int) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT EXISTS (
           SELECT 1
             FROM (SELECT {schema}.condition_day_of_year(value, zone) AS t) said,
                  LATERAL (SELECT make_date(year, left(t, 2)::int, 1) AS month
                             FROM (VALUES (extract(year FROM today)::int),
                                          (extract(year FROM today)::int + 1)) y(year)) m
            WHERE month - 1 + least(right(t, 2)::int, {schema}.condition_month(month))
                  BETWEEN today AND today + within)
$$;
