-- Codes of a pool: each goes to one (contact, enrollment), and comes back if surely not sent.
CREATE TABLE {schema}.coupon (
    workspace   text NOT NULL,
    pool        text NOT NULL,
    code        text NOT NULL,
    added_at    timestamptz NOT NULL,
    contact     text,                                 -- null: free
    enrollment  text,
    messages    text[] NOT NULL DEFAULT '{}',           -- those that show it
    reserved_at timestamptz,
    PRIMARY KEY (workspace, pool, code)
);
CREATE UNIQUE INDEX coupon_taken ON {schema}.coupon (workspace, contact, enrollment, pool)
    WHERE contact IS NOT NULL;
CREATE INDEX coupon_free ON {schema}.coupon (workspace, pool, added_at) WHERE contact IS NULL;
