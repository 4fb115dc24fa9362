-- Contacts that are another now (`into`), or (null) forgotten: what still comes for those writes
-- lines without content.
CREATE TABLE {schema}.alias (
    workspace text NOT NULL,
    contact   text NOT NULL,
    "into"    text,
    PRIMARY KEY (workspace, contact)
);
CREATE INDEX alias_into ON {schema}.alias (workspace, "into") WHERE "into" IS NOT NULL;
