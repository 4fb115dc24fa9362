"""Keep leases: say that we live, take what is free, give back what is more than our share."""

import asyncio
from contextlib import suppress

import asyncpg
import structlog

from chappe.shards import rules
from chappe.shards.commits import Commits
from chappe.shards.holdings import Holdings
from chappe.shards.store import OutboxRow, Owned, ShardStore, Standing

OUTBOX_PAGE = 1_000
LEAVE_SECONDS_MAX = 5.0
LEAVING_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)

logger = structlog.get_logger(__name__)


class LeaseKeeper:
    """One statement per tick, and what follows from it."""

    def __init__(
        self,
        store: ShardStore,
        holdings: Holdings,
        commits: Commits,
        *,
        exclusive: bool,
        tick_seconds: float,
    ) -> None:
        self._store = store
        self._holdings = holdings
        self._commits = commits
        self._exclusive = exclusive
        self._tick_seconds = tick_seconds
        self._now = asyncio.Event()
        self.claiming = True

    def tick_now(self) -> None:
        """Do not wait for the next tick: a shard was lost, or another process let some go."""
        self._now.set()

    async def run(self) -> None:
        """Until cancelled."""
        if self._exclusive:
            await self._tick_for_ever()
            return
        async with self._store.hear_of_freed(self.tick_now):
            await self._tick_for_ever()

    async def leave(self) -> None:
        """Let everything go at once, for whoever ticks next."""
        try:
            async with asyncio.timeout(LEAVE_SECONDS_MAX):
                await self._holdings.drop(list(self._holdings.owned))
                await self._store.leave()
        except LEAVING_ERRORS:
            logger.warning("Could not let the shards go; others take them when the lease ends")

    async def _tick_for_ever(self) -> None:
        while True:
            self._now.clear()
            try:
                await self._tick()
            except asyncpg.DeadlockDetectedError:  # with a zombie, over shards that were its own
                logger.info("Deadlock; looking at the leases again at the next tick")
            with suppress(TimeoutError):
                async with asyncio.timeout(self._tick_seconds):
                    await self._now.wait()

    async def _tick(self) -> None:
        async with self._commits.lock:  # both lock our shards' rows, in orders of their own
            standing = await self._store.tick(self._holdings.epochs)
        await self._drop_lost(standing)
        leases = [
            lease._replace(owner=None)
            if lease.owner == self._store.me and lease.shard not in self._holdings.owned
            else lease
            for lease in standing.leases
        ]
        plan = rules.plan_leases(
            leases, self._store.me, standing.now, standing.workers, exclusive=self._exclusive
        )
        if plan.give_back:
            await self._give_back(plan.give_back)
        if plan.claim and self.claiming:
            wanted = set(plan.claim)
            claimed = await self._store.claim([x for x in leases if x.shard in wanted])
            await self._holdings.take([(each, await self._outbox_of(each)) for each in claimed])

    async def _drop_lost(self, standing: Standing) -> None:
        owned = self._holdings.owned
        await self._holdings.drop(
            [
                lease.shard
                for lease in standing.leases
                if lease.shard in owned
                and (lease.epoch != owned[lease.shard].epoch or lease.owner != self._store.me)
            ]
        )

    async def _give_back(self, shards: tuple[int, ...]) -> None:
        """Between two commits, so that none of ours is fenced for it."""
        await self._holdings.finish(shards)
        async with self._commits.lock:
            epochs = self._holdings.epochs
            gone = {shard: epochs[shard] for shard in shards if shard in epochs}
            await self._holdings.drop(list(gone))
            await self._store.let_go(gone)

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
