"""Where records wait on disk while the log is away, and how they go on when it is back.

A record is durable here when ``put`` returns: written and fsynced, many per fsync. While a
partition has records here, everything for it goes behind them. What is here is appended in the
order in which it came; after a crash some of it may be appended twice, which readers drop by the
records' own ids.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from typing import Final, NamedTuple, Protocol, TypeVar

import structlog

from chappe.broker import Broker, Outgoing, RecordTooLarge
from chappe.clock import Clock
from chappe.events import Stream
from chappe_ingest import metrics

CHUNK_RECORDS: Final = 500
CHUNK_BYTES: Final = 1024 * 1024
APPEND_SECONDS: Final = 5.0
RETRY_SECONDS_MIN: Final = 0.1
RETRY_SECONDS_MAX: Final = 5.0
WAITING_MAX: Final = 10_000
"""Calls of ``put`` that may wait for one fsync."""

T = TypeVar("T")
Place = tuple[Stream, int]
"""A stream and its partition."""

logger = structlog.get_logger(__name__)


class SpoolFull(Exception):
    """Nothing was kept: the bound or the disk is reached, or the disk failed."""


class Spooled(NamedTuple):
    """One record as it waits. ``at``: seconds since the epoch, wall clock."""

    at: float
    stream: Stream
    record: Outgoing


class Volume(Protocol):
    """A spool's files. Blocking, and used by one thread at a time."""

    @property
    def size(self) -> int:
        """Bytes on disk."""
        ...

    @property
    def is_full(self) -> bool:
        """Whether little more fits."""
        ...

    def waiting(self) -> Counter[Place]:
        """How many records wait, by place; read once, at the start."""
        ...

    def write(self, records: Sequence[Spooled]) -> None:
        """Durable on return. Raises ``SpoolFull``: then none of them is kept."""
        ...

    def read(self, max_records: int, max_bytes: int) -> Sequence[Spooled]:
        """The oldest that wait; the same again until ``advance``."""
        ...

    def advance(self, count: int) -> None:
        """The oldest ``count`` are in the log."""
        ...

    def set_aside(self, record: Spooled, why: str) -> None:
        """Keep what the log will never take, durable. Raises ``SpoolFull``."""
        ...

    def orphans(self) -> int:
        """Volumes beside this one that hold records and that no process drains."""
        ...

    def close(self) -> None: ...


class Spool:
    """One volume and its two tasks: the group commit, and the way back into the log."""

    def __init__(self, volume: Volume, broker: Broker, wall: Clock) -> None:
        self._volume = volume
        self._broker = broker
        self._wall = wall
        self._waiting = volume.waiting()
        self._depth = self._waiting.total()
        self._puts: list[tuple[Sequence[Spooled], asyncio.Future[None]]] = []
        self._put = asyncio.Event()
        self._came = asyncio.Event()
        self._empty = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._writer: asyncio.Task[None] | None = None
        self._drainer: asyncio.Task[None] | None = None
        self._gauge(oldest=None)
        self._mark()

    @property
    def depth(self) -> int:
        """Records that wait."""
        return self._depth

    @property
    def is_full(self) -> bool:
        return self._volume.is_full

    def holds(self, stream: Stream, partition: int) -> bool:
        """Whether a record for this place must go behind others."""
        return self._waiting[stream, partition] > 0

    def start(self) -> None:
        self._writer = asyncio.create_task(self._write_for_ever(), name="spool-writer")
        self._drainer = asyncio.create_task(self._drain_for_ever(), name="spool-drainer")
        if self._depth:
            logger.warning("Records of an earlier run wait in the spool", records=self._depth)
            self._came.set()

    async def put(self, stream: Stream, records: Sequence[Outgoing]) -> None:
        """Durable on return. Raises ``SpoolFull``. After a cancellation the outcome is unknown."""
        if len(self._puts) >= WAITING_MAX:
            raise SpoolFull("too many wait for the disk")
        at = self._wall.now().timestamp()
        spooled = [Spooled(at, stream, record) for record in records]
        # Counted before the write: whoever asks meanwhile goes behind these.
        self._count(spooled, 1)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._puts.append((spooled, done))
        self._put.set()
        await asyncio.shield(done)

    async def set_aside(self, stream: Stream, record: Outgoing, why: str) -> None:
        """Keep, for a human, what the log will never take. Raises ``SpoolFull``."""
        spooled = Spooled(self._wall.now().timestamp(), stream, record)
        await self._in_thread(lambda: self._volume.set_aside(spooled, why))
        metrics.SPOOL_SET_ASIDE.inc()
        logger.error("A record that the log never takes was set aside", stream=stream, why=why)

    async def notice_orphans(self) -> None:
        """Say what other processes left behind."""
        found = await self._in_thread(self._volume.orphans)
        metrics.SPOOL_ORPHANS.set(found)
        if found:
            logger.error(
                "Spools of other processes wait and nobody drains them: "
                "start a process on the same data directory for each",
                volumes=found,
            )

    async def stop(self, patience_seconds: float) -> None:
        """Drain for at most ``patience_seconds``; what remains stays durable."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_seconds):
                await self._empty.wait()
        tasks = [task for task in (self._writer, self._drainer) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for _, done in self._puts:
            if not done.done():
                done.set_exception(SpoolFull("the process stops"))
                done.exception()
        await self._in_thread(self._volume.close)
        self._thread.shutdown()
        if self._depth:
            logger.warning("Records stay in the spool until the next start", records=self._depth)

    async def _write_for_ever(self) -> None:
        while True:
            await self._put.wait()
            self._put.clear()
            puts, self._puts = self._puts, []
            if puts:
                await self._write(puts)

    async def _write(self, puts: Sequence[tuple[Sequence[Spooled], asyncio.Future[None]]]) -> None:
        """One fsync for all; on a failure each alone, so that a big one fails alone."""
        everything = [record for records, _ in puts for record in records]
        try:
            await self._in_thread(lambda: self._volume.write(everything))
        except Exception as error:
            if not isinstance(error, SpoolFull):
                logger.exception("The spool could not be written")
            if len(puts) > 1:
                for put in puts:
                    await self._write([put])
                return
            self._count(everything, -1)
            _settle(puts[0][1], SpoolFull(str(error)))
        else:
            metrics.SPOOLED.inc(len(everything))
            for _, done in puts:
                _settle(done, None)
            self._came.set()

    async def _drain_for_ever(self) -> None:
        retry = RETRY_SECONDS_MIN
        while True:
            await self._came.wait()
            self._came.clear()
            more = True
            while more:
                try:
                    more = await self._drain_some()
                    retry = RETRY_SECONDS_MIN
                except Exception as error:  # noqa: BLE001 - nothing here may end the drain
                    logger.warning("The spool waits for the log", error=repr(error))
                    await asyncio.sleep(retry)
                    retry = min(RETRY_SECONDS_MAX, retry * 2)

    async def _drain_some(self) -> bool:
        """The oldest that wait, into the log. False when there are none."""
        chunk = await self._in_thread(lambda: self._volume.read(CHUNK_RECORDS, CHUNK_BYTES))
        self._gauge(oldest=chunk[0].at if chunk else None)
        for stream, run in groupby(chunk, key=lambda each: each.stream):
            records = list(run)
            await self._append(stream, records)
            await self._in_thread(partial(self._volume.advance, len(records)))
            self._count(records, -1)
        if not self._depth:
            self._gauge(oldest=None)
        return bool(chunk)

    async def _append(self, stream: Stream, records: Sequence[Spooled]) -> None:
        try:
            async with asyncio.timeout(APPEND_SECONDS):
                await self._broker.append(stream, [each.record for each in records])
        except RecordTooLarge as error:
            if len(records) == 1:
                await self.set_aside(stream, records[0].record, str(error))
                return
            for each in records:
                await self._append(stream, [each])

    def _count(self, records: Sequence[Spooled], by: int) -> None:
        for each in records:
            place = each.stream, each.record.partition
            self._waiting[place] += by
            if self._waiting[place] <= 0:
                del self._waiting[place]
        self._depth += by * len(records)
        self._mark()
        metrics.SPOOL_DEPTH.set(self._depth)
        metrics.SPOOL_BYTES.set(self._volume.size)

    def _mark(self) -> None:
        if self._depth:
            self._empty.clear()
        else:
            self._empty.set()

    def _gauge(self, *, oldest: float | None) -> None:
        age = 0.0 if oldest is None else self._wall.now().timestamp() - oldest
        metrics.SPOOL_AGE.set(max(0.0, age))
        metrics.SPOOL_DEPTH.set(self._depth)
        metrics.SPOOL_BYTES.set(self._volume.size)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _settle(done: asyncio.Future[None], error: Exception | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
        done.exception()  # the waiter may have gone
