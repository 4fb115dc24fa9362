"""The fenced one-statement commit: position, state, timers, outbox and dead letters move together.

One statement may commit many shards of one process: the compare-and-set must hold for all of
them, or everything rolls back (a division by zero, SQLSTATE 22012).
"""

import re
from collections.abc import Mapping
from typing import Any

FENCE = """
WITH fence AS (
    UPDATE {schema}.shard s
       SET commit_seq = s.commit_seq + 1, next_offsets = u.new_offsets,
           out_seq = u.out_seq, pub_seq = u.pub_seq
      FROM unnest({f_shards}::int[], {f_epochs}::bigint[], {f_commit_seqs}::bigint[],
                  {f_old_offsets}::text[]::jsonb[], {f_new_offsets}::text[]::jsonb[],
                  {f_out_seqs}::bigint[], {f_pub_seqs}::bigint[])
           u(shard, epoch, commit_seq, old_offsets, new_offsets, out_seq, pub_seq)
     WHERE s.shard = u.shard AND s.epoch = u.epoch
       AND s.commit_seq = u.commit_seq AND s.next_offsets = u.old_offsets
    RETURNING 1),
held AS (                                     -- somebody else's by now: roll everything back
    SELECT 1 / (count(*) = cardinality({f_shards}::int[]))::int AS ok FROM fence),
seen AS (
    INSERT INTO {schema}.shard_seen AS was (shard, stream, producer, incarnation, from_shard, seq)
    SELECT * FROM unnest({s_shards}::int[], {s_streams}::text[], {s_producers}::text[],
                         {s_incarnations}::text[], {s_from}::int[], {s_seqs}::bigint[])
        ON CONFLICT (shard, stream, producer, incarnation, from_shard)
        DO UPDATE SET seq = greatest(was.seq, excluded.seq)),
letters AS (
    INSERT INTO {schema}.dead_letter (id, shard, stream, "offset", key, value, reason, source, at)
    SELECT * FROM unnest({d_ids}::text[], {d_shards}::int[], {d_streams}::text[],
                         {d_offsets}::bigint[], {d_keys}::bytea[], {d_values}::bytea[],
                         {d_reasons}::text[], {d_sources}::text[], {d_ats}::timestamptz[])
        ON CONFLICT (id) DO NOTHING),
asked AS (
    INSERT INTO {schema}.outbox (shard, seq, stream, partition, key, body)
    SELECT * FROM unnest({o_shards}::int[], {o_seqs}::bigint[], {o_streams}::text[],
                         {o_partitions}::int[], {o_keys}::bytea[], {o_bodies}::bytea[])),
relayed AS (                                  -- with a lower bound: the dead prefix is never read
    DELETE FROM {schema}.outbox o
     USING unnest({f_shards}::int[], {f_kept}::bigint[], {f_pub_seqs}::bigint[]) u(shard, kept, pub)
     WHERE o.shard = u.shard AND o.seq > u.kept AND o.seq <= u.pub)
"""

FENCE_PARTS = frozenset({"fence", "held", "seen", "letters", "asked", "relayed"})
FENCE_PARAMETERS = tuple(dict.fromkeys(re.findall(r"\{([fsdo]_\w+)\}", FENCE)))


class FencedStatement:
    """A service's part of the commit, glued behind the fence once, at import.

    ``parts`` are data-modifying CTEs by name; ``{schema}`` is the service's schema and every other
    ``{name}`` a parameter, given by name to ``Batch.commit``. All parts run in every commit, with
    empty arrays when there is nothing to do, so that one prepared statement serves. They share one
    snapshot: no part may touch a row that another part of the same commit touches.

    ``answer`` is what the statement returns beside its being held: columns over the parts. An error
    in it, other than the fence's own, rolls everything back, and the shards stay ours.
    """

    def __init__(
        self, schema: str, parts: Mapping[str, str] | None = None, answer: str | None = None
    ) -> None:
        self.schema = schema
        if taken := set(parts or ()) & FENCE_PARTS:
            raise TypeError(f"{schema}: the fence has parts of these names itself: {sorted(taken)}")
        text = FENCE + "".join(
            f",\n{name} AS ({sql.strip()})" for name, sql in (parts or {}).items()
        )
        text += f"\nSELECT ok{f', {answer.strip()}' if answer else ''} FROM held"
        names = dict.fromkeys(re.findall(r"\{(\w+)\}", text))
        names.pop("schema")
        self._numbers = {name: f"${n}" for n, name in enumerate(names, 1)}
        self.parameters = tuple(name for name in self._numbers if name not in FENCE_PARAMETERS)
        self.sql = re.sub(r"\{(\w+)\}", self._fill, text)

    def _fill(self, match: re.Match[str]) -> str:
        return self.schema if match[1] == "schema" else self._numbers[match[1]]

    def arguments(self, fence: Mapping[str, Any], own: Mapping[str, Any]) -> list[Any]:
        """Positional arguments; a name that is missing or unknown is a programming error."""
        if set(own) != set(self.parameters):
            odd = sorted(set(own) ^ set(self.parameters))
            raise TypeError(f"{self.schema}: commit arguments missing or unknown: {odd}")
        return [fence[name] if name in fence else own[name] for name in self._numbers]
