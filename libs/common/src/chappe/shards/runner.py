"""Own shards, read their streams, apply batches, relay their outbox: the life of one process."""

import asyncio
import datetime as dt
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NoReturn

import asyncpg
import structlog

from chappe.broker import Broker, BrokerError, BrokerUnavailable
from chappe.clock import Clock, monotonic
from chappe.events.streams import Stream
from chappe.shards import rules
from chappe.shards.batch import (
    Batch,
    FlatRecord,
    LostShards,
    Processor,
    build_batch,
)
from chappe.shards.draft import CommitDraft, Connection, Transaction
from chappe.shards.faults import fault_point
from chappe.shards.fence import FencedStatement
from chappe.shards.intake import Intake
from chappe.shards.metrics import shard_metrics
from chappe.shards.records import Advance, DeadLetter, Out
from chappe.shards.relay import Relay
from chappe.shards.store import OutboxRow, Owned, ShardStore

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
OUTBOX_PAGE = 1_000
TRIM_SECONDS = 600.0
KEEP = dt.timedelta(days=14)
RECONNECT_SECONDS = 0.5
BARRIER_SECONDS = 1.0

# The fence's own division by zero, and every way an answer to a commit can be missing.
LOST_ERRORS = (
    asyncpg.DivisionByZeroError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    OSError,
    TimeoutError,
)
LEAVING_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)

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
        self._exclusive = exclusive
        self._linger_seconds = linger_seconds
        self._tick_seconds = tick_seconds or (EXCLUSIVE_TICK_SECONDS if exclusive else TICK_SECONDS)
        lease = lease or (EXCLUSIVE_LEASE if exclusive else LEASE)
        self._store = ShardStore(pool, processor.schema, me, lease)
        self._metrics = shard_metrics(processor.name)
        self._intake = Intake(broker, processor.inputs)
        self._flush = FencedStatement(processor.schema)
        self._owned: dict[int, Owned] = {}
        self._relay: Relay | None = None
        self._commits = asyncio.Lock()
        self._changed = asyncio.Event()
        self._tick_now = asyncio.Event()
        self._readable: set[int] = set()
        self._moved = True
        self._applying = False
        self._stopping = False
        self._barrier: tuple[dt.datetime, dict[int, int]] | None = None
        self._last_commit = monotonic()

    # -- what others may ask ------------------------------------------------------------------

    @property
    def owned(self) -> Mapping[int, Owned]:
        """The shards held now, with their positions. Changes at every await."""
        return self._owned

    @property
    def relay(self) -> Relay:
        assert self._relay is not None, "the runner is not running"
        return self._relay

    def wake(self) -> None:
        """Look again: a clock moved, a timer was set, work was left."""
        self._changed.set()

    async def ready(self) -> None:
        """Raises ``RuntimeError`` unless this process can apply: it holds its share of the shards
        or others hold them all, and the log takes its outbox.
        """
        if self._relay is None:
            raise RuntimeError("shards are being claimed")
        if self._relay.failing:
            raise RuntimeError("the log does not take the outbox")

    async def busy(self) -> str | None:
        """What is not yet at rest: a stream not read to its end, a batch, the outbox. For demos."""
        if self._relay is None or len(self._readable) < self._broker.partitions:
            return f"{self._processor.name}: claiming shards"
        if self._applying or self._relay.backlog:
            return f"{self._processor.name}: outbox"
        for stream in self._processor.inputs:
            ends = await self._broker.end_offsets(stream)
            for shard, held in list(self._owned.items()):
                if held.next_offsets.get(stream, 0) < ends.get(shard, 0):
                    return f"{self._processor.name}: {stream}"
        return None

    # -- the loops ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Until ``stop``, or until something unexpected, which ends the process."""
        incarnation = await self._store.create(self._broker.partitions)
        self._relay = Relay(
            self._broker, self._processor.name, incarnation, self._metrics, self.wake
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                helpers = [
                    tasks.create_task(self._keep_leases()),
                    tasks.create_task(self._relay.run()),
                    tasks.create_task(self._publish_positions()),
                    tasks.create_task(self._trim_for_ever()),
                ]
                await self._apply_batches()
                for helper in helpers:
                    helper.cancel()
        finally:
            await self._intake.close()
            await self._leave()

    async def stop(self) -> None:
        """Finish the batch, then let the shards go at once. Returns when asked, not when done."""
        self._stopping = True
        self._changed.set()

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(5):
                held = {owned.shard: owned.epoch for owned in self._owned.values()}
                await self._drop(list(held))
                await self._store.leave()  # first, so that who hears of the freed counts without us
                await self._store.let_go(held)
        except LEAVING_ERRORS:
            logger.warning("Could not let the shards go; others take them when the lease ends")

    async def _keep_leases(self) -> None:
        if self._exclusive:
            await self._tick_for_ever()
            return
        async with self._store.hear_of_freed(self._tick_now.set):
            await self._tick_for_ever()

    async def _tick_for_ever(self) -> None:
        while True:
            self._tick_now.clear()
            await self._tick()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._tick_seconds):
                    await self._tick_now.wait()

    async def _tick(self) -> None:
        held = {owned.shard: owned.epoch for owned in self._owned.values()}
        standing = await self._store.tick(held)
        await self._drop(
            [
                lease.shard
                for lease in standing.leases
                if lease.shard in self._owned
                and (lease.epoch != self._owned[lease.shard].epoch or lease.owner != self._store.me)
            ]
        )
        leases = [
            lease._replace(owner=None)
            if lease.owner == self._store.me and lease.shard not in self._owned
            else lease
            for lease in standing.leases
        ]
        plan = rules.plan_leases(
            leases, self._store.me, standing.now, standing.workers, exclusive=self._exclusive
        )
        if plan.give_back:
            async with self._commits:
                gone = {s: self._owned[s].epoch for s in plan.give_back if s in self._owned}
                await self._drop(list(gone))
                await self._store.let_go(gone)
        if plan.claim and not self._stopping:
            wanted = set(plan.claim)
            await self._claim([lease for lease in leases if lease.shard in wanted])

    async def _claim(self, leases: list[rules.Lease]) -> None:
        claimed = await self._store.claim(leases)
        for owned in claimed:
            self.relay.adopt(owned.shard, owned.pub_seq, await self._outbox_of(owned))
            self._owned[owned.shard] = owned
        if claimed:
            logger.info("Claimed shards", service=self._processor.name, shards=len(claimed))
            try:
                await self._processor.claimed(claimed)
            except LostShards:
                logger.info("Lost shards while taking them over", service=self._processor.name)
            self._readable |= {owned.shard for owned in claimed if owned.shard in self._owned}
        self._reassign()

    async def _drop(self, shards: Sequence[int]) -> None:
        gone = [shard for shard in shards if self._owned.pop(shard, None) is not None]
        if not gone:
            return
        for shard in gone:
            self.relay.drop(shard)
        self._readable -= set(gone)
        self._reassign()
        await self._processor.released(gone)

    def _reassign(self) -> None:
        self._moved = True
        self._barrier = None
        self._metrics.owned.set(len(self._owned))
        self._changed.set()

    async def _outbox_of(self, owned: Owned) -> list[OutboxRow]:
        if owned.out_seq == owned.pub_seq:
            return []
        rows: list[OutboxRow] = []
        while True:
            after = rows[-1].seq if rows else owned.pub_seq
            page = await self._store.outbox(owned.shard, after, OUTBOX_PAGE)
            rows += page
            if len(page) < OUTBOX_PAGE:
                return rows

    async def _publish_positions(self) -> None:
        """For lag tools and for ``trim``; nobody resumes from these."""
        told: dict[Stream, dict[int, int]] = {}
        while True:
            for stream in self._processor.inputs:
                await asyncio.sleep(POSITIONS_SECONDS)
                held = {o.shard: o.next_offsets.get(stream, 0) for o in self._owned.values()}
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
            if 0 not in self._owned:
                continue
            for stream in self._processor.inputs:
                try:
                    await self._broker.trim(stream, KEEP.total_seconds())
                except BrokerError as error:
                    logger.warning("Could not trim a stream", stream=stream, error=str(error))

    async def _apply_batches(self) -> None:
        while not self._stopping:
            self._changed.clear()
            if self._moved:
                await self._assign()
            await self.relay.room()
            try:
                if not await self._one_batch():
                    await self._idle()
            except LostShards as lost:
                logger.info("Lost shards", service=self._processor.name, shards=len(lost.shards))
                self._tick_now.set()
            except BrokerUnavailable as error:
                logger.warning("The log does not answer; reading again", error=str(error))
                self._moved = True
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _assign(self) -> None:
        self._moved = False
        held = [self._owned[shard] for shard in self._readable if shard in self._owned]
        await self._intake.assign(held)

    async def _one_batch(self) -> bool:
        """Apply what has come and what is due; False when there was nothing."""
        self._applying = True
        try:
            flat = self._intake.collect(BATCH_RECORDS_MAX, self._owned)
            if flat and self._linger_seconds and len(flat) < BATCH_RECORDS_MAX // 2:
                await asyncio.sleep(self._linger_seconds)
                flat += self._intake.collect(BATCH_RECORDS_MAX - len(flat), self._owned)
            readable = {s: self._owned[s] for s in self._readable if s in self._owned}
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
            except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
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
        elif batch.inputs:
            logger.error("The database refuses an input", error=str(error))
            await self._processor.poison(batch, error)
            return
        else:
            raise error
        for records, due in parts:
            part = build_batch(records, self._owned, due, batch.now, self)
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
            timeout = FLUSH_SECONDS - (monotonic() - self._last_commit)
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
            for shard, held in self._owned.items()
            if shard in self._readable and self.relay.published(shard) > held.pub_seq
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
    ) -> None:
        """One fenced statement for all of ``shards``: everything or nothing, never retried.

        A batch commits through ``Batch.commit``; work outside a batch (the sender's hand-over)
        calls this. Raises ``LostShards`` when a shard is not ours any more or the outcome is
        unknown; the runner has then dropped them.
        """
        advance = advance or {}
        touched = sorted({*shards, *advance, *(out.shard for out in outbox)})
        if transaction is not None:
            draft = self._draft(touched, advance, outbox, dead)
            transaction.draft = draft
            await self._execute(transaction.connection, statement, own, draft)
            return
        async with self._commits:
            draft = self._draft(touched, advance, outbox, dead)
            await self._execute(self._store.pool, statement, own, draft)
            self._settle(draft)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Transaction]:
        """For a processor that must lock rows of its own before the fence: what runs on
        ``transaction.connection`` and the commit given ``transaction`` are durable together, when
        the block ends. Other commits of this process wait.
        """
        async with self._commits, self._store.pool.acquire() as connection:
            transaction = Transaction(connection)
            within = connection.transaction()
            await within.start()
            try:
                yield transaction
            except BaseException:
                with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                    await within.rollback()
                raise
            draft = transaction.draft
            try:
                await within.commit()
            except LOST_ERRORS as error:
                await self._lost(draft.shards if draft else [], error)
            if draft is not None:
                self._settle(draft)

    def _draft(
        self,
        touched: list[int],
        advance: Mapping[int, Advance],
        outbox: Sequence[Out],
        dead: Sequence[DeadLetter],
    ) -> CommitDraft:
        missing = [shard for shard in touched if shard not in self._owned]
        if missing:
            raise LostShards(missing)
        self._metrics.dead_letters.inc(len(dead))
        held = [self._owned[shard] for shard in touched]
        return CommitDraft(held, advance, outbox, dead, self.relay.published)

    async def _execute(
        self,
        connection: asyncpg.Pool | Connection,
        statement: FencedStatement,
        own: Mapping[str, Any],
        draft: CommitDraft,
    ) -> None:
        arguments = statement.arguments(draft.arguments, own)
        started = monotonic()
        try:
            await connection.fetch(statement.sql, *arguments)
        except LOST_ERRORS as error:
            await self._lost(draft.shards, error)
        except asyncpg.UniqueViolationError as error:
            # A zombie's sequence numbers, met before the fence was evaluated.
            if (error.constraint_name or "") != "outbox_pkey":
                raise
            await self._lost(draft.shards, error)
        self._metrics.commit_seconds.observe(monotonic() - started)

    async def _lost(self, shards: Sequence[int], error: BaseException) -> NoReturn:
        self._metrics.lost.inc(len(shards))
        logger.warning(
            "A commit was fenced or unanswered; dropping its shards",
            service=self._processor.name,
            shards=len(shards),
            error=repr(error),
        )
        await self._drop(shards)
        raise LostShards(shards) from error

    def _settle(self, draft: CommitDraft) -> None:
        """The commit is durable: move what we hold, and relay."""
        fault_point("after_state_commit")
        draft.settle()
        self._last_commit = monotonic()
        self.relay.push(draft.rows)
