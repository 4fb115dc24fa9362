"""Read the embedded log: from memory where this process appended it, from Postgres elsewhere."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

import asyncpg

from chappe.broker.known import Known
from chappe.broker.limits import ANSWER_SECONDS
from chappe.broker.port import BrokerUnavailable, OffsetOutOfRange, Record
from chappe.clock import monotonic
from chappe.events.streams import Stream

READ_BYTES_MAX = 8 * 1024 * 1024
"""Of values per query; one record more when the first alone is bigger."""

AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)

READ = """
    SELECT partition, first_offset, next_offset, "offset", key, value
      FROM (SELECT w.turn, w.partition, p.first_offset, p.next_offset, r."offset", r.key, r.value,
                   sum(octet_length(r.value)) OVER (ORDER BY w.turn, r."offset")
                       - octet_length(r.value) AS bytes_before
              FROM unnest($2::int[], $3::bigint[])
                   WITH ORDINALITY AS w (partition, position, turn)
              LEFT JOIN log.partition AS p ON p.stream = $1 AND p.partition = w.partition
              LEFT JOIN LATERAL (SELECT "offset", key, value
                                   FROM log.record
                                  WHERE stream = $1 AND partition = w.partition
                                    AND "offset" >= w.position
                                  ORDER BY "offset" LIMIT $4) AS r ON true) AS found
     WHERE bytes_before IS NULL OR bytes_before < $5
     ORDER BY turn, "offset"
"""


class EmbeddedReader:
    def __init__(self, pool: asyncpg.Pool, stream: Stream, known: Known) -> None:
        self._pool = pool
        self._stream = stream
        self._known = known
        self._positions: dict[int, int] = {}
        self._unchecked: set[int] = set()
        self._lost: str | None = None
        self._turn = 0
        self._moved = asyncio.Event()
        known.watch(stream, self._moved)

    async def assign(self, offsets: Mapping[int, int]) -> None:
        self._positions = dict(offsets)
        self._unchecked = set(offsets)
        self._lost = None

    async def read(self, max_records: int, wait_seconds: float) -> dict[int, list[Record]]:
        deadline = monotonic() + wait_seconds
        while True:
            self._moved.clear()
            found = await self._take(max_records)
            left = deadline - monotonic()
            if found or left <= 0:
                return found
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._moved.wait()

    async def close(self) -> None:
        self._known.unwatch(self._stream, self._moved)

    async def _take(self, max_records: int) -> dict[int, list[Record]]:
        """What is there, each partition with its fair share, beginning with another every time."""
        behind = self._behind()
        if not behind:
            return {}
        share = max(1, max_records // len(behind))
        found: dict[int, list[Record]] = {}
        cold: list[int] = []
        for partition in behind:
            position = self._positions[partition]
            tail = self._known.tail(self._stream, partition, position, share)
            if tail and partition not in self._unchecked:
                found[partition] = tail
            else:
                cold.append(partition)
        if cold:
            found.update(await self._query(cold, share))
        return self._hand_over(found, max_records)

    def _behind(self) -> list[int]:
        if self._lost is not None:
            raise OffsetOutOfRange(self._lost)
        behind = [
            partition
            for partition, position in self._positions.items()
            if partition in self._unchecked or position < self._known.end(self._stream, partition)
        ]
        self._turn += 1
        first = self._turn % len(behind) if behind else 0
        return behind[first:] + behind[:first]

    def _hand_over(
        self, found: Mapping[int, Sequence[Record]], max_records: int
    ) -> dict[int, list[Record]]:
        given: dict[int, list[Record]] = {}
        for partition, records in found.items():
            if taken := list(records[:max_records]):
                given[partition] = taken
                self._positions[partition] = taken[-1].offset + 1
                max_records -= len(taken)
        return given

    async def _query(self, partitions: Sequence[int], share: int) -> dict[int, list[Record]]:
        positions = [self._positions[partition] for partition in partitions]
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                rows = await self._pool.fetch(
                    READ, self._stream, partitions, positions, share, READ_BYTES_MAX
                )
        except AWAY as error:
            raise BrokerUnavailable(f"the log did not answer: {error!r}") from error
        found: dict[int, list[Record]] = {}
        ends: dict[int, int] = {}
        for partition, first, end, offset, key, value in rows:
            position = self._positions[partition]
            if first is None:
                raise self._lose(f"{self._stream}/{partition} was never created")
            if not first <= position <= end:
                raise self._lose(
                    f"{self._stream}/{partition} holds offsets {first} to {end}, not {position}"
                )
            self._unchecked.discard(partition)
            ends[partition] = end
            if offset is not None:
                found.setdefault(partition, []).append(Record(offset, key, value))
        self._known.learn(self._stream, ends)
        return found

    def _lose(self, reason: str) -> OffsetOutOfRange:
        self._lost = reason
        return OffsetOutOfRange(reason)
