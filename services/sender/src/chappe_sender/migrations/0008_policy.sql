-- What a person agreed to about being measured, with its time, source and proof.
ALTER TABLE {schema}.permission
    ADD COLUMN tracking        text,
    ADD COLUMN tracking_at     timestamptz,
    ADD COLUMN tracking_source text,
    ADD COLUMN tracking_proof  text;

-- What holds for a workspace that has not been told otherwise stands in the code.
CREATE TABLE {schema}.policy (
    workspace          text PRIMARY KEY,
    consent            text NOT NULL CHECK (consent IN ('opt_in', 'opt_out')),
    tracking_countries text[] NOT NULL,              -- ISO 3166-1 alpha-2
    tracking_refused   text NOT NULL CHECK (tracking_refused IN ('aggregate', 'none')),
    updated_at         timestamptz NOT NULL
);
