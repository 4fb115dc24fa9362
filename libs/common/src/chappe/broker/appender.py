"""Append to the embedded log: everything that waits goes in one statement, and in order."""

import asyncio
import contextlib
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from chappe.broker.embedded_reader import AWAY
from chappe.broker.known import Known
from chappe.broker.limits import ANSWER_SECONDS, Room, chunks
from chappe.broker.port import BrokerMismatch, BrokerUnavailable, Outgoing
from chappe.deadlines import Deadlines
from chappe.events.streams import Stream

STATEMENT_RECORDS_MAX = 1_000
STATEMENT_BYTES_MAX = 8 * 1024 * 1024

# Offsets are given out under the locks of the partitions' rows, which are taken in one order by
# everybody and held until the commit: what is visible has nothing invisible below it.
APPEND = """
    WITH asked  AS (SELECT stream, partition, key, value,
                           row_number() OVER (PARTITION BY stream, partition ORDER BY nth) - 1 AS at
                      FROM unnest($1::text[], $2::int[], $3::bytea[], $4::bytea[])
                           WITH ORDINALITY AS r (stream, partition, key, value, nth)),
         counts AS (SELECT stream, partition, count(*) AS records FROM asked GROUP BY 1, 2),
         locked AS MATERIALIZED
                   (SELECT p.stream, p.partition, c.records
                      FROM log.partition AS p
                      JOIN counts AS c ON c.stream = p.stream AND c.partition = p.partition
                     ORDER BY p.stream, p.partition
                       FOR UPDATE OF p),
         moved  AS (UPDATE log.partition AS p
                       SET next_offset = p.next_offset + l.records
                      FROM locked AS l
                     WHERE p.stream = l.stream AND p.partition = l.partition
                 RETURNING p.stream, p.partition, p.next_offset - l.records AS base),
         added  AS (INSERT INTO log.record (stream, partition, "offset", key, value)
                    SELECT a.stream, a.partition, m.base + a.at, a.key, a.value
                      FROM asked AS a
                      JOIN moved AS m ON m.stream = a.stream AND m.partition = a.partition)
    SELECT stream, partition, base FROM moved
"""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A caller's records, and the future that it waits on."""

    stream: Stream
    records: Sequence[Outgoing]
    size: int
    done: asyncio.Future[None]


class Appender:
    """One task and one connection of the pool append for everybody in this process."""

    def __init__(self, pool: asyncpg.Pool, known: Known) -> None:
        self._pool = pool
        self._known = known
        self._room = Room()
        self._queue: deque[_Waiting] = deque()
        self._work = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._connection: asyncpg.pool.PoolConnectionProxy | None = None
        self._closed = False
        self._patience = Deadlines(ANSWER_SECONDS)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def append(self, stream: Stream, records: Sequence[Outgoing]) -> None:
        """Durable on return. A later part is not tried when an earlier one failed."""
        for part, size in chunks(records, STATEMENT_RECORDS_MAX, STATEMENT_BYTES_MAX):
            try:
                with self._patience.limit():
                    await self._append(stream, part, size)
            except TimeoutError as error:
                raise BrokerUnavailable(
                    f"the log did not take the records within {ANSWER_SECONDS:g} s"
                ) from error

    async def close(self) -> None:
        """Stop; callers that still wait get ``BrokerUnavailable``."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._fail(self._queue, BrokerUnavailable("the log is closed"))
        await self._drop_connection()

    async def _append(self, stream: Stream, records: Sequence[Outgoing], size: int) -> None:
        await self._room.enter(len(records), size)
        try:
            if self._closed:
                raise BrokerUnavailable("the log is closed")
            self._loop = self._loop or asyncio.get_running_loop()
            done: asyncio.Future[None] = self._loop.create_future()
            self._queue.append(_Waiting(stream, records, size, done))
            self._work.set()
            if self._task is None:
                self._task = asyncio.create_task(self._run(), name="log-appender")
            await done
        finally:
            self._room.leave(len(records), size)

    async def _run(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while batch := self._next_batch():
                try:
                    await self._write(batch)
                except AWAY as error:
                    self._fail(batch, BrokerUnavailable(f"the log did not answer: {error!r}"))
                    await self._drop_connection()
                except asyncio.CancelledError:
                    self._fail(batch, BrokerUnavailable("the log was closed meanwhile"))
                    raise
                except Exception as error:  # noqa: BLE001  a fault of ours is told to whom it hit
                    self._fail(batch, error)

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        records = size = 0
        while self._queue:
            waiting = self._queue[0]
            records += len(waiting.records)
            size += waiting.size
            if batch and (records > STATEMENT_RECORDS_MAX or size > STATEMENT_BYTES_MAX):
                break
            self._queue.popleft()
            if waiting.done.done():  # its caller gave up
                records -= len(waiting.records)
                size -= waiting.size
            else:
                batch.append(waiting)
        return batch

    async def _write(self, batch: Sequence[_Waiting]) -> None:
        flat = [(waiting.stream, record) for waiting in batch for record in waiting.records]
        if self._connection is None or self._connection.is_closed():
            await self._drop_connection()
            self._connection = await self._pool.acquire(timeout=ANSWER_SECONDS)
        rows = await self._connection.fetch(
            APPEND,
            [stream for stream, _ in flat],
            [record.partition for _, record in flat],
            [record.key for _, record in flat],
            [record.value for _, record in flat],
            timeout=ANSWER_SECONDS,
        )
        bases = {(Stream(stream), partition): base for stream, partition, base in rows}
        self._remember(flat, bases)
        for waiting in batch:
            self._answer(waiting, bases)

    def _remember(
        self, flat: Sequence[tuple[Stream, Outgoing]], bases: dict[tuple[Stream, int], int]
    ) -> None:
        by_partition: dict[tuple[Stream, int], list[Outgoing]] = defaultdict(list)
        for stream, record in flat:
            by_partition[stream, record.partition].append(record)
        ends: dict[Stream, dict[int, int]] = defaultdict(dict)
        for (stream, partition), base in bases.items():
            records = by_partition[stream, partition]
            self._known.keep(stream, partition, base, records)
            ends[stream][partition] = base + len(records)
        for stream, moved in ends.items():
            self._known.learn(stream, moved)

    def _answer(self, waiting: _Waiting, bases: dict[tuple[Stream, int], int]) -> None:
        if waiting.done.done():
            return
        asked = {(waiting.stream, record.partition) for record in waiting.records}
        if missing := sorted(asked - bases.keys()):
            names = ", ".join(f"{stream}/{number}" for stream, number in missing)
            waiting.done.set_exception(BrokerMismatch(f"{names} was never created"))
        else:
            waiting.done.set_result(None)

    def _fail(self, batch: Sequence[_Waiting], error: Exception) -> None:
        for waiting in batch:
            if not waiting.done.done():
                waiting.done.set_exception(error)

    async def _drop_connection(self) -> None:
        """Give the connection back; one that failed is not fit for anybody else."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with contextlib.suppress(*AWAY):
            if not self._closed:
                connection.terminate()
            await self._pool.release(connection, timeout=ANSWER_SECONDS)
