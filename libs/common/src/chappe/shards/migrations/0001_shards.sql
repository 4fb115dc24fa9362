-- One set per service schema. A shard row is its lease, its fence and its position, all in one.
CREATE TABLE {schema}.shard (
    shard        int PRIMARY KEY,
    owner        text,
    lease_until  timestamptz NOT NULL DEFAULT '-infinity',
    epoch        bigint NOT NULL DEFAULT 0,
    commit_seq   bigint NOT NULL DEFAULT 0,
    next_offsets jsonb  NOT NULL DEFAULT '{}',
    out_seq      bigint NOT NULL DEFAULT 0,
    pub_seq      bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 25);

-- Processes that want shards, so that each knows its fair share.
CREATE TABLE {schema}.worker (
    worker      text PRIMARY KEY,
    alive_until timestamptz NOT NULL
);

-- The incarnation of this database as a producer: renewed when it was restored from a backup.
CREATE TABLE {schema}.producer (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    incarnation text NOT NULL
);

-- The highest seq applied, per shard, input stream and producing shard.
CREATE TABLE {schema}.shard_seen (
    shard       int NOT NULL,
    stream      text NOT NULL,
    producer    text NOT NULL,
    incarnation text NOT NULL,
    from_shard  int NOT NULL,
    seq         bigint NOT NULL,
    PRIMARY KEY (shard, stream, producer, incarnation, from_shard)
) WITH (fillfactor = 50);

CREATE TABLE {schema}.outbox (
    shard     int NOT NULL,
    seq       bigint NOT NULL,
    stream    text NOT NULL,
    partition int NOT NULL,
    key       bytea NOT NULL,
    body      bytea NOT NULL,
    PRIMARY KEY (shard, seq)
);

CREATE TABLE {schema}.dead_letter (
    id      text PRIMARY KEY,
    shard   int NOT NULL,
    stream  text NOT NULL,
    "offset" bigint NOT NULL,
    key     bytea NOT NULL,
    value   bytea NOT NULL,
    reason  text NOT NULL,
    source  text,
    at      timestamptz NOT NULL
);
CREATE INDEX dead_letter_at ON {schema}.dead_letter (at DESC, id);
