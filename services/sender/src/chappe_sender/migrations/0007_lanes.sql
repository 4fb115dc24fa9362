-- Under an emergency stop, and put aside so that claims need not look at it again and again.
ALTER TABLE {schema}.message ADD COLUMN parked boolean NOT NULL DEFAULT false;
CREATE INDEX message_parked ON {schema}.message (workspace) WHERE parked;

-- What waits, by lane: a claim looks at the head of each lane that is open, and at no other.
DROP INDEX {schema}.message_due;
CREATE INDEX message_lane ON {schema}.message (shard, priority, workspace, next_attempt_at)
    WHERE state IN ('pending', 'scheduled') AND NOT held AND NOT parked;
