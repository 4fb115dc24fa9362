"""The log as tables in Postgres, for one box: schema ``log``, no second server.

Commit order is offset order, so a reader can never pass a record that is still being written.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

import asyncpg

from chappe.broker.appender import Appender
from chappe.broker.embedded_reader import AWAY, EmbeddedReader
from chappe.broker.known import Known
from chappe.broker.limits import ANSWER_SECONDS, check, partitions_of
from chappe.broker.port import BrokerUnavailable, Outgoing, Reader
from chappe.events.streams import Stream

ALONE_POLL_SECONDS = 1.0
SHARED_POLL_SECONDS = 0.05
TRIM_RECORDS = 1_000
"""Deleted per statement, so that no lock is held for long."""

BOUNDS = """
    SELECT partition, first_offset, next_offset FROM log.partition WHERE stream = $1
"""
TOTALS = """
    SELECT stream, sum(next_offset)::bigint
      FROM log.partition WHERE stream = ANY($1::text[]) GROUP BY stream
"""
PUBLISH = """
    INSERT INTO log.position (consumer, stream, partition, next_offset)
    SELECT $1, $2, partition, next_offset
      FROM unnest($3::int[], $4::bigint[]) AS p (partition, next_offset) ORDER BY partition
    ON CONFLICT (stream, consumer, partition) DO UPDATE SET next_offset = EXCLUDED.next_offset
"""
# A consumer that has a position for the stream but none for this partition holds all of it.
TRIM = """
    WITH passed AS (SELECT min(coalesce(p.next_offset, 0)) AS "offset"
                      FROM (SELECT DISTINCT consumer FROM log.position WHERE stream = $1) AS c
                      LEFT JOIN log.position AS p
                        ON p.stream = $1 AND p.consumer = c.consumer AND p.partition = $2),
         oldest AS (SELECT "offset", appended_at FROM log.record
                     WHERE stream = $1 AND partition = $2
                       AND "offset" < (SELECT "offset" FROM passed)
                     ORDER BY "offset" LIMIT $4),
         bound  AS (SELECT coalesce(min("offset") FILTER (
                                        WHERE appended_at >= now() - make_interval(secs => $3)),
                                    max("offset") + 1) AS "offset"
                      FROM oldest),
         gone   AS (DELETE FROM log.record AS r USING bound
                     WHERE r.stream = $1 AND r.partition = $2 AND r."offset" < bound."offset"
                 RETURNING 1),
         moved  AS (UPDATE log.partition AS p SET first_offset = bound."offset" FROM bound
                     WHERE p.stream = $1 AND p.partition = $2
                       AND p.first_offset < bound."offset")
    SELECT count(*) FROM gone
"""
CREATE = """
    INSERT INTO log.partition (stream, partition)
    SELECT $1, generate_series(0, $2::int - 1) ON CONFLICT DO NOTHING
"""
COUNTS = "SELECT stream, count(*)::int FROM log.partition GROUP BY stream"


class EmbeddedLog:
    """The embedded log. Holds one connection of ``pool`` once it has appended.

    ``exclusive`` says that no other process appends: then others' records are looked for every
    second instead of every 50 ms. Own appends wake own readers at once in both cases.
    """

    kind = "embedded"
    prefix = ""

    def __init__(self, pool: asyncpg.Pool, partitions: int, *, exclusive: bool) -> None:
        self._pool = pool
        self._partitions = partitions
        self._poll_seconds = ALONE_POLL_SECONDS if exclusive else SHARED_POLL_SECONDS
        self._known = Known()
        self._appender = Appender(pool, self._known)
        self._watcher: asyncio.Task[None] | None = None

    @property
    def partitions(self) -> int:
        return self._partitions

    async def append(self, stream: Stream, records: Sequence[Outgoing]) -> None:
        check(stream, records, self._partitions)
        await self._appender.append(stream, records)

    def reader(self, stream: Stream) -> Reader:
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._watch(), name="log-watcher")
        return EmbeddedReader(self._pool, stream, self._known)

    async def start_offsets(self, stream: Stream) -> dict[int, int]:
        return {partition: first for partition, first, _ in await self._fetch(BOUNDS, stream)}

    async def end_offsets(self, stream: Stream) -> dict[int, int]:
        ends = {partition: end for partition, _, end in await self._fetch(BOUNDS, stream)}
        self._known.learn(stream, ends)
        return ends

    async def publish_position(
        self, consumer: str, stream: Stream, offsets: Mapping[int, int]
    ) -> None:
        await self._fetch(PUBLISH, consumer, stream, list(offsets), list(offsets.values()))

    async def trim(self, stream: Stream, keep_seconds: float) -> None:
        for partition in range(partitions_of(stream, self._partitions)):
            while True:
                rows = await self._fetch(TRIM, stream, partition, keep_seconds, TRIM_RECORDS)
                if rows[0][0] < TRIM_RECORDS:
                    break

    async def ping(self) -> None:
        await self._fetch("SELECT 1 FROM log.partition LIMIT 1")

    async def close(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
        await self._appender.close()

    async def cluster(self) -> str:
        """Nothing to confuse it with: the log and its installation record share a database."""
        return "embedded"

    async def streams(self) -> dict[Stream, int]:
        """The streams that exist, with their partition counts."""
        return {Stream(stream): count for stream, count in await self._fetch(COUNTS)}

    async def create(self, streams: Mapping[Stream, int]) -> None:
        for stream, count in sorted(streams.items()):
            await self._fetch(CREATE, stream, count)

    async def _watch(self) -> None:
        """Look for what other processes appended, while somebody here reads."""
        while True:
            await asyncio.sleep(self._poll_seconds)
            streams = self._known.streams()
            if not streams:
                continue
            with contextlib.suppress(BrokerUnavailable):  # readers go on with what is known
                for stream, total in await self._fetch(TOTALS, streams):
                    if total > self._known.total(Stream(stream)):
                        await self.end_offsets(Stream(stream))

    async def _fetch(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._pool.fetch(statement, *arguments)
        except AWAY as error:
            raise BrokerUnavailable(f"the log did not answer: {error!r}") from error
