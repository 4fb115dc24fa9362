"""Own shards, read their streams, apply batches, relay their outbox: the life of one process."""

import asyncio
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import asyncpg
import structlog

from chappe.broker import Broker, BrokerError, BrokerUnavailable
from chappe.clock import Clock, monotonic
from chappe.events.streams import Stream
from chappe.shards.batch import (
    REFUSED,
    Batch,
    FlatRecord,
    LostShards,
    Processor,
    build_batch,
)
from chappe.shards.commits import Commits
from chappe.shards.draft import Transaction
from chappe.shards.fence import FencedStatement
from chappe.shards.holdings import Holdings
from chappe.shards.intake import Intake
from chappe.shards.leases import LeaseKeeper
from chappe.shards.metrics import shard_metrics
from chappe.shards.records import Advance, DeadLetter, Out
from chappe.shards.relay import Relay
from chappe.shards.store import Owned, ShardStore

BATCH_RECORDS_MAX = 500
LEASE = dt.timedelta(seconds=10)
TICK_SECONDS = 3.0
EXCLUSIVE_LEASE = dt.timedelta(seconds=90)
EXCLUSIVE_TICK_SECONDS = 30.0
FLUSH_SECONDS = 1.0
POSITIONS_SECONDS = 10.0
"""Between one stream's positions and the next one's: nobody resumes from them, and on Kafka
each costs milliseconds that a mail would wait for."""
IDLE_SECONDS_MAX = 30.0
DEADLOCK_RERUNS_MAX = 5
TRIM_SECONDS = 600.0
KEEP = dt.timedelta(days=14)
"""Records that every reader has passed, and dead letters: what is personal in them ends here."""
FORGET_ROWS_MAX = 1_000
RECONNECT_SECONDS = 0.5
BARRIER_SECONDS = 1.0

logger = structlog.get_logger(__name__)


class ShardRunner:
    """Runs one processor over the shards this process owns.

    ``exclusive``: the data directory's lock is ours, so every shard is. ``lease`` and ``tick`` are
    for tests that cannot wait ten seconds for a takeover. ``linger_seconds`` waits for company
    before a small batch: fewer statements, for a service that nobody waits for.
    """

    def __init__(
        self,
        processor: Processor,
        *,
        broker: Broker,
        pool: asyncpg.Pool,
        clock: Clock,
        me: str,
        exclusive: bool = False,
        lease: dt.timedelta | None = None,
        tick_seconds: float | None = None,
        linger_seconds: float = 0.0,
    ) -> None:
        self._processor = processor
        self._broker = broker
        self._clock = clock
        self._linger_seconds = linger_seconds
        self._metrics = shard_metrics(processor.name)
        lease = lease or (EXCLUSIVE_LEASE if exclusive else LEASE)
        self._store = ShardStore(pool, processor.schema, me, lease)
        self._holdings = Holdings(processor, self._metrics, self._reassign)
        self._commits = Commits(pool, self._holdings, self._metrics, processor.name)
        self._leases = LeaseKeeper(
            self._store,
            self._holdings,
            self._commits,
            exclusive=exclusive,
            tick_seconds=tick_seconds or (EXCLUSIVE_TICK_SECONDS if exclusive else TICK_SECONDS),
        )
        self._intake = Intake(broker, processor.inputs)
        self._flush = FencedStatement(processor.schema)
        self._changed = asyncio.Event()
        self._moved = True
        self._applying = False
        self._stopping = False
        self._barrier: tuple[dt.datetime, dict[int, int]] | None = None

    # -- what others may ask ------------------------------------------------------------------

    @property
    def owned(self) -> Mapping[int, Owned]:
        """The shards held now, with their positions. Changes at every await."""
        return self._holdings.owned

    def wake(self) -> None:
        """Look again: a clock moved, a timer was set, work was left."""
        self._changed.set()

    async def ready(self) -> None:
        """Raises ``RuntimeError`` unless this process can apply: it holds its share of the shards
        or others hold them all, and the log takes its outbox.
        """
        if not self._holdings.running:
            raise RuntimeError("shards are being claimed")
        if self._holdings.relay.failing:
            raise RuntimeError("the log does not take the outbox")

    async def busy(self) -> str | None:
        """What is not yet at rest: a stream not read to its end, a batch, the outbox. For demos."""
        holdings = self._holdings
        if not holdings.running or len(holdings.readable) < self._broker.partitions:
            return f"{self._processor.name}: claiming shards"
        if self._applying or holdings.relay.backlog:
            return f"{self._processor.name}: outbox"
        for stream in self._processor.inputs:
            ends = await self._broker.end_offsets(stream)
            for shard, held in list(holdings.owned.items()):
                if held.next_offsets.get(stream, 0) < ends.get(shard, 0):
                    return f"{self._processor.name}: {stream}"
        return None

    # -- the loops ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Until ``stop``, or until something unexpected, which ends the process."""
        incarnation = await self._store.create(self._broker.partitions)
        relay = Relay(self._broker, self._processor.name, incarnation, self._metrics, self.wake)
        self._holdings.begin(relay)
        try:
            async with asyncio.TaskGroup() as tasks:
                helpers = [
                    tasks.create_task(self._leases.run()),
                    tasks.create_task(relay.run()),
                    tasks.create_task(self._publish_positions()),
                    tasks.create_task(self._trim_for_ever()),
                ]
                await self._apply_batches()
                for helper in helpers:
                    helper.cancel()
        finally:
            await self._intake.close()
            await self._leases.leave()

    async def stop(self) -> None:
        """Finish the batch, then let the shards go at once. Returns when asked, not when done."""
        self._stopping = True
        self._leases.claiming = False
        self._changed.set()

    def _reassign(self) -> None:
        """The shards to read are others than before."""
        self._moved = True
        self._barrier = None
        self._changed.set()

    async def _publish_positions(self) -> None:
        """For lag tools and for ``trim``; nobody resumes from these."""
        told: dict[Stream, dict[int, int]] = {}
        while True:
            for stream in self._processor.inputs:
                await asyncio.sleep(POSITIONS_SECONDS)
                held = {
                    o.shard: o.next_offsets.get(stream, 0) for o in self._holdings.owned.values()
                }
                try:
                    if held and held != told.get(stream):
                        await self._broker.publish_position(self._processor.name, stream, held)
                        told[stream] = held
                    ends = await self._broker.end_offsets(stream) if held else {}
                except BrokerError as error:
                    logger.warning("Could not publish positions", stream=stream, error=str(error))
                    continue
                lag = sum(max(0, ends.get(shard, 0) - at) for shard, at in held.items())
                self._metrics.lag.labels(stream).set(lag)

    async def _trim_for_ever(self) -> None:
        """Drop what every reader has passed and nobody may keep: whoever owns shard 0 does it."""
        while True:
            await asyncio.sleep(TRIM_SECONDS)
            if 0 not in self._holdings.owned:
                continue
            await self.forget()
            for stream in self._processor.inputs:
                try:
                    await self._broker.trim(stream, KEEP.total_seconds())
                except BrokerError as error:
                    logger.warning("Could not trim a stream", stream=stream, error=str(error))

    async def forget(self) -> None:
        """Drop the dead letters that are older than ``KEEP``: they hold what strangers sent."""
        try:
            before = self._clock.now() - KEEP
            while await self._store.forget_dead_letters(before, FORGET_ROWS_MAX):
                pass
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            logger.warning("Old dead letters were not dropped", error=repr(error))

    async def _apply_batches(self) -> None:
        while not self._stopping:
            self._changed.clear()
            if self._moved:
                await self._assign()
            await self._holdings.relay.room()
            try:
                if not await self._one_batch():
                    await self._idle()
            except LostShards as lost:
                logger.info("Lost shards", service=self._processor.name, shards=len(lost.shards))
                self._leases.tick_now()
            except BrokerUnavailable as error:
                logger.warning("The log does not answer; reading again", error=str(error))
                self._moved = True
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _assign(self) -> None:
        self._moved = False
        held = [
            self._holdings.owned[shard]
            for shard in self._holdings.readable
            if shard in self._holdings.owned
        ]
        await self._intake.assign(held)

    async def _one_batch(self) -> bool:
        """Apply what has come and what is due; False when there was nothing."""
        self._applying = True
        try:
            flat = self._intake.collect(BATCH_RECORDS_MAX, self._holdings.owned)
            if flat and self._linger_seconds and len(flat) < BATCH_RECORDS_MAX // 2:
                await asyncio.sleep(self._linger_seconds)
                flat += self._intake.collect(BATCH_RECORDS_MAX - len(flat), self._holdings.owned)
            readable = {
                s: self._holdings.owned[s]
                for s in self._holdings.readable
                if s in self._holdings.owned
            }
            now = self._clock.now()
            batch = build_batch(flat, readable, {}, now, self)
            batch.due = await self._due(batch, readable, now)
            if not batch.advance and not batch.due:
                return False
            await self._apply(batch)
        finally:
            self._applying = False
        for item in batch.inputs:
            self._metrics.inputs.labels(item.stream).inc()
        self._metrics.batch.observe(len(flat))
        self._metrics.repeats.inc(len(flat) - len(batch.inputs) - len(batch.letters))
        return True

    async def _apply(self, batch: Batch) -> None:
        """Apply; re-run on a deadlock; find the one input that the database refuses."""
        for _ in range(DEADLOCK_RERUNS_MAX):
            try:
                await self._processor.apply(batch)
            except asyncpg.DeadlockDetectedError:
                logger.info("Deadlock; running the batch again", service=self._processor.name)
                continue
            except REFUSED as error:
                await self._bisect(batch, error)
            return
        raise RuntimeError(f"{DEADLOCK_RERUNS_MAX} deadlocks in a row on one batch")

    async def _bisect(self, batch: Batch, error: Exception) -> None:
        parts: list[tuple[list[FlatRecord], dict[int, dt.datetime]]]
        if batch.inputs and batch.due:
            parts = [(batch.records, {}), ([], batch.due)]
        elif len(batch.inputs) > 1:
            half = len(batch.records) // 2
            parts = [(batch.records[:half], {}), (batch.records[half:], {})]
        elif len(batch.due) > 1:
            parts = [([], {shard: instant}) for shard, instant in batch.due.items()]
        elif batch.inputs or batch.due:
            logger.error("The database refuses an input", error=str(error))
            await self._processor.poison(batch, error)
            return
        else:
            raise error
        for records, due in parts:
            part = build_batch(records, self._holdings.owned, due, batch.now, self)
            if part.advance or part.due:
                await self._apply(part)

    async def _due(
        self, batch: Batch, readable: Mapping[int, Owned], now: dt.datetime
    ) -> dict[int, dt.datetime]:
        """The shards whose timers may fire: each has applied, with this batch, all that was in the
        log when its clock had passed the instant.
        """
        stream = self._processor.timer_stream
        earliest = self._processor.next_due()
        if stream is None or earliest is None or earliest > now:
            self._barrier = None
            return {}
        if self._barrier is None:
            self._barrier = (now, await self._broker.end_offsets(stream))
        instant, ends = self._barrier
        due: dict[int, dt.datetime] = {}
        waiting = False
        for shard in self._processor.due_shards(instant):
            held = readable.get(shard)
            if held is None:
                continue
            moved = batch.advance.get(shard)
            position = held.next_offsets.get(stream, 0)
            if moved is not None:
                position = moved.next_offsets.get(stream, position)
            if position >= ends.get(shard, 0):
                due[shard] = instant
            else:
                waiting = True
        if not waiting and not due:
            self._barrier = None  # what is due now became due after the instant
        return due

    async def _idle(self) -> None:
        """Wait for a record, a timer, a change, or the moment to tidy the outbox."""
        timeout = IDLE_SECONDS_MAX
        if self._unflushed():
            timeout = FLUSH_SECONDS - (monotonic() - self._commits.last_at)
            if timeout <= 0:
                await self._tidy()
                return
        earliest = self._processor.next_due()
        if earliest is not None and self._processor.timer_stream is not None:
            until = (earliest - self._clock.now()).total_seconds()
            # Overdue and not fired means waiting for records: the reads will wake us.
            timeout = min(timeout, until if until > 0 else BARRIER_SECONDS)
        if self._intake.holding:
            return
        changed = asyncio.create_task(self._changed.wait())
        try:
            await self._intake.wait(changed, seconds=timeout)
        finally:
            changed.cancel()

    def _unflushed(self) -> list[int]:
        return [
            shard
            for shard, held in self._holdings.owned.items()
            if shard in self._holdings.readable
            and self._holdings.relay.published(shard) > held.pub_seq
        ]

    async def _tidy(self) -> None:
        """Make ``pub_seq`` durable and empty the outbox table, once the shards are quiet."""
        await self.commit(self._flush, {}, shards=self._unflushed())

    # -- the commit ---------------------------------------------------------------------------

    async def commit(
        self,
        statement: FencedStatement,
        own: Mapping[str, Any],
        *,
        shards: Iterable[int],
        advance: Mapping[int, Advance] | None = None,
        outbox: Sequence[Out] = (),
        dead: Sequence[DeadLetter] = (),
        transaction: Transaction | None = None,
    ) -> asyncpg.Record:
        """See ``Commits.commit``: for work outside a batch, as the sender's hand-over."""
        return await self._commits.commit(
            statement,
            own,
            shards=shards,
            advance=advance,
            outbox=outbox,
            dead=dead,
            transaction=transaction,
        )

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """See ``Commits.transaction``."""
        return self._commits.transaction()
