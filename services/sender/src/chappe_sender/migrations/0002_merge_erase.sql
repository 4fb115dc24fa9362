-- A contact that was merged away, and the one it is now. Its permissions were folded there.
CREATE TABLE {schema}.contact_redirect (
    workspace text NOT NULL,
    contact   text NOT NULL,
    "into"    text NOT NULL,
    PRIMARY KEY (workspace, contact)
);
CREATE INDEX contact_redirect_into ON {schema}.contact_redirect (workspace, "into");

-- The address by keyed hash: what an erasure leaves of a suppression is found by it.
ALTER TABLE {schema}.message ADD COLUMN address_hash text;
