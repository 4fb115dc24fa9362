"""Commit batches: one fenced statement at a time, everything or nothing, never retried."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NoReturn

import asyncpg
import structlog

from chappe.clock import monotonic
from chappe.shards.batch import LostShards
from chappe.shards.draft import CommitDraft, Connection, Transaction
from chappe.shards.faults import fault_point
from chappe.shards.fence import FencedStatement
from chappe.shards.holdings import Holdings
from chappe.shards.metrics import ShardMetrics
from chappe.shards.records import Advance, DeadLetter, Out

# The fence's own division by zero, and every way an answer to a commit can be missing.
LOST_ERRORS = (
    asyncpg.DivisionByZeroError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    OSError,
    TimeoutError,
)

logger = structlog.get_logger(__name__)


class Commits:
    """The only way to change a shard. ``lock`` keeps this process's commits apart."""

    def __init__(
        self, pool: asyncpg.Pool, holdings: Holdings, metrics: ShardMetrics, name: str
    ) -> None:
        self._pool = pool
        self._holdings = holdings
        self._metrics = metrics
        self._name = name
        self.lock = asyncio.Lock()
        self.last_at = monotonic()

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
        """One fenced statement for all of ``shards``: everything or nothing, never retried.
        Returns the statement's answer.

        A batch commits through ``Batch.commit``; work outside a batch (the sender's hand-over)
        calls this. Raises ``LostShards`` when a shard is not ours any more or the outcome is
        unknown; the runner has then dropped them.
        """
        advance = advance or {}
        touched = sorted({*shards, *advance, *(out.shard for out in outbox)})
        if transaction is not None:
            draft = self._draft(touched, advance, outbox, dead)
            transaction.draft = draft
            return await self._execute(transaction.connection, statement, own, draft)
        async with self.lock:
            draft = self._draft(touched, advance, outbox, dead)
            answer = await self._execute(self._pool, statement, own, draft)
            self._settle(draft)
            return answer

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Transaction]:
        """For a processor that must lock rows of its own before the fence: what runs on
        ``transaction.connection`` and the commit given ``transaction`` are durable together, when
        the block ends. Other commits of this process wait.
        """
        async with self.lock, self._pool.acquire() as connection:
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
        missing = [shard for shard in touched if shard not in self._holdings.owned]
        if missing:
            raise LostShards(missing)
        self._metrics.dead_letters.inc(len(dead))
        held = [self._holdings.owned[shard] for shard in touched]
        return CommitDraft(held, advance, outbox, dead, self._holdings.relay.published)

    async def _execute(
        self,
        connection: asyncpg.Pool | Connection,
        statement: FencedStatement,
        own: Mapping[str, Any],
        draft: CommitDraft,
    ) -> asyncpg.Record:
        arguments = statement.arguments(draft.arguments, own)
        started = monotonic()
        try:
            (answer,) = await connection.fetch(statement.sql, *arguments)
        except LOST_ERRORS as error:
            await self._lost(draft.shards, error)
        except asyncpg.UniqueViolationError as error:
            # A zombie's sequence numbers, met before the fence was evaluated.
            if (error.constraint_name or "") != "outbox_pkey":
                raise
            await self._lost(draft.shards, error)
        self._metrics.commit_seconds.observe(monotonic() - started)
        return answer

    async def _lost(self, shards: Sequence[int], error: BaseException) -> NoReturn:
        self._metrics.lost.inc(len(shards))
        logger.warning(
            "A commit was fenced or unanswered; dropping its shards",
            service=self._name,
            shards=len(shards),
            error=repr(error),
        )
        await self._holdings.drop(shards)
        raise LostShards(shards) from error

    def _settle(self, draft: CommitDraft) -> None:
        """The commit is durable: move what we hold, and relay."""
        fault_point("after_state_commit")
        draft.settle()
        self.last_at = monotonic()
        self._holdings.relay.push(draft.rows)
