"""Leases and positions in Postgres: claim, renew, let go, load."""

import datetime as dt
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
import msgspec

from chappe.events.streams import Stream
from chappe.ids import random_id
from chappe.shards.records import SeenKey
from chappe.shards.rules import Lease

CREATE = """
    INSERT INTO {schema}.shard (shard) SELECT generate_series(0, $1::int - 1)
        ON CONFLICT (shard) DO NOTHING
"""

INCARNATION = """
    INSERT INTO {schema}.producer (incarnation) VALUES ($1)
        ON CONFLICT (one) DO UPDATE SET incarnation = {schema}.producer.incarnation
    RETURNING incarnation
"""

# One statement per process and tick: I am alive, my leases go on, and how does everybody stand?
TICK = """
    WITH alive AS (
        INSERT INTO {schema}.worker (worker, alive_until) VALUES ($1, now() + $2)
            ON CONFLICT (worker) DO UPDATE SET alive_until = excluded.alive_until),
    gone AS (
        DELETE FROM {schema}.worker WHERE alive_until < now() - interval '1 hour'),
    renewed AS (
        UPDATE {schema}.shard s SET lease_until = now() + $2
          FROM unnest($3::int[], $4::bigint[]) u(shard, epoch)
         WHERE s.shard = u.shard AND s.epoch = u.epoch AND s.owner = $1
        RETURNING s.shard)
    SELECT s.shard, s.owner, s.epoch,
           CASE WHEN r.shard IS NULL THEN s.lease_until ELSE now() + $2 END AS lease_until,
           now() AS now,
           (SELECT count(*) FROM {schema}.worker w WHERE w.alive_until > now() AND w.worker <> $1)
               + 1 AS workers
      FROM {schema}.shard s LEFT JOIN renewed r USING (shard)
     ORDER BY s.shard
"""

CLAIM = """
    UPDATE {schema}.shard s SET owner = $1, epoch = s.epoch + 1, lease_until = now() + $2
      FROM unnest($3::int[], $4::bigint[]) u(shard, epoch)
     WHERE s.shard = u.shard AND s.epoch = u.epoch
    RETURNING s.shard, s.epoch, s.commit_seq, s.next_offsets::text AS next_offsets,
              s.out_seq, s.pub_seq
"""

SEEN = """
    SELECT shard, stream, producer, incarnation, from_shard, seq
      FROM {schema}.shard_seen WHERE shard = ANY($1::int[])
"""

OUTBOX = """
    SELECT shard, seq, stream, partition, key, body FROM {schema}.outbox
     WHERE shard = $1 AND seq > $2 ORDER BY seq LIMIT $3
"""

LET_GO = """
    UPDATE {schema}.shard s SET owner = NULL, lease_until = '-infinity'
      FROM unnest($2::int[], $3::bigint[]) u(shard, epoch)
     WHERE s.shard = u.shard AND s.epoch = u.epoch AND s.owner = $1
"""

# Everything of ours at once, also what a cancelled hand-over had dropped and not yet let go.
LEAVE = """
    WITH gone AS (DELETE FROM {schema}.worker WHERE worker = $1)
    UPDATE {schema}.shard SET owner = NULL, lease_until = '-infinity' WHERE owner = $1
"""

# Heard by the other processes, so that what was let go is taken at once. Rare: never per event.
FREED = "SELECT pg_notify('{schema}_shards', '')"


@dataclass(slots=True)
class Owned:
    """A shard we hold: its fence, its positions, its sequence numbers."""

    shard: int
    epoch: int
    commit_seq: int
    next_offsets: dict[Stream, int]
    out_seq: int
    pub_seq: int
    seen: dict[SeenKey, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Standing:
    """How all shards stood at one tick."""

    leases: list[Lease]
    now: dt.datetime
    workers: int


FORGET_DEAD_LETTERS = """
    WITH old  AS (SELECT id FROM {schema}.dead_letter WHERE at < $1 ORDER BY at LIMIT $2),
         gone AS (DELETE FROM {schema}.dead_letter WHERE id IN (SELECT id FROM old) RETURNING 1)
    SELECT count(*)::int FROM gone
"""


class OutboxRow(msgspec.Struct, frozen=True):
    shard: int
    seq: int
    stream: Stream
    partition: int
    key: bytes
    body: bytes


def offsets_json(offsets: dict[Stream, int]) -> str:
    return json.dumps(offsets, sort_keys=True)


class ShardStore:
    """The shard tables of one service's schema."""

    def __init__(self, pool: asyncpg.Pool, schema: str, me: str, lease: dt.timedelta) -> None:
        self.pool = pool
        self.schema = schema
        self.me = me
        self._lease = lease

    def _sql(self, text: str) -> str:
        return text.format(schema=self.schema)

    async def create(self, shards: int) -> str:
        """Make the shard rows once; returns this database's incarnation as a producer."""
        await self.pool.execute(self._sql(CREATE), shards)
        return await self.pool.fetchval(self._sql(INCARNATION), random_id(""))

    async def tick(self, held: dict[int, int]) -> Standing:
        """Say that we live, renew ``held`` (shard → epoch), and see how all shards stand."""
        rows = await self.pool.fetch(
            self._sql(TICK), self.me, self._lease, list(held), list(held.values())
        )
        leases = [Lease(r["shard"], r["owner"], r["epoch"], r["lease_until"]) for r in rows]
        return Standing(leases, rows[0]["now"], rows[0]["workers"])

    async def claim(self, leases: list[Lease]) -> list[Owned]:
        """Take these shards, each unless its epoch moved; load where they stand."""
        if not leases:
            return []
        async with self.pool.acquire() as connection:
            rows = await connection.fetch(
                self._sql(CLAIM),
                self.me,
                self._lease,
                [lease.shard for lease in leases],
                [lease.epoch for lease in leases],
            )
            owned = {
                row["shard"]: Owned(
                    shard=row["shard"],
                    epoch=row["epoch"],
                    commit_seq=row["commit_seq"],
                    next_offsets=json.loads(row["next_offsets"]),
                    out_seq=row["out_seq"],
                    pub_seq=row["pub_seq"],
                )
                for row in rows
            }
            for row in await connection.fetch(self._sql(SEEN), list(owned)):
                key = (row["stream"], row["producer"], row["incarnation"], row["from_shard"])
                owned[row["shard"]].seen[key] = row["seq"]
        return list(owned.values())

    async def outbox(self, shard: int, after: int, limit: int) -> list[OutboxRow]:
        rows = await self.pool.fetch(self._sql(OUTBOX), shard, after, limit)
        return [OutboxRow(*row) for row in rows]

    async def forget_dead_letters(self, before: dt.datetime, limit: int) -> int:
        """Drop the oldest dead letters from before then; how many went."""
        return await self.pool.fetchval(self._sql(FORGET_DEAD_LETTERS), before, limit)

    async def let_go(self, held: dict[int, int]) -> None:
        """Free these shards at once, for whoever ticks next."""
        await self.pool.execute(self._sql(LET_GO), self.me, list(held), list(held.values()))
        await self.pool.execute(self._sql(FREED))

    @asynccontextmanager
    async def hear_of_freed(self, heard: Callable[[], None]) -> AsyncGenerator[None]:
        """Call ``heard`` whenever some process lets shards go; holds one connection."""
        channel = f"{self.schema}_shards"

        def on_notify(*_: object) -> None:
            heard()

        async with self.pool.acquire() as connection:
            await connection.add_listener(channel, on_notify)
            try:
                yield
            finally:
                if not connection.is_closed():
                    await connection.remove_listener(channel, on_notify)

    async def leave(self) -> None:
        """Take no part any more, and free all that is ours for whoever ticks next."""
        await self.pool.execute(self._sql(LEAVE), self.me)
        await self.pool.execute(self._sql(FREED))
