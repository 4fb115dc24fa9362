"""Where the ingest service's parts meet: two process roles, ``edge`` and ``resolver``."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
import structlog

from chappe.broker import BrokerError
from chappe.http import Check, create_app, require_token
from chappe.ids import random_id
from chappe.postgres import migrate as apply_migrations
from chappe.service import Context, Service
from chappe.shards import ShardRunner
from chappe_ingest.adapters.dead_letters import PostgresDeadLetters
from chappe_ingest.adapters.identities import PostgresIdentities
from chappe_ingest.adapters.identity_tables import FORGET_DELIVERIES, SCHEMA, IdentityTables
from chappe_ingest.adapters.quarantine import PostgresQuarantine
from chappe_ingest.adapters.sources import SeenSources, Sources
from chappe_ingest.adapters.spool import open_volume
from chappe_ingest.application.inlet import Inlet, LogAway
from chappe_ingest.application.quarantine import Quarantine
from chappe_ingest.application.replay import Replay
from chappe_ingest.application.resolver import NAME, Resolver
from chappe_ingest.application.source_table import REFRESH_SECONDS_IDLE, SourceTable
from chappe_ingest.application.spool import Spool
from chappe_ingest.application.tally import Tally
from chappe_ingest.entrypoints import dead_letters_api, events_api, front, imports_api, sources_api
from chappe_ingest.entrypoints.calls import Calls
from chappe_ingest.entrypoints.readers import Readers
from chappe_ingest.entrypoints.webhooks import Webhooks

DISTRIBUTION: Final = "chappe-ingest"
FLUSH_SECONDS: Final = 5.0
SPOOL_PATIENCE_SECONDS: Final = 3.0
"""How long a process that stops tries to empty its spool; the rest stays on disk."""

FORGET_SECONDS: Final = 600.0
"""How often deliveries older than the window are forgotten."""

DELIVERY_WINDOW_DAYS: Final = 7
FORGET_ROWS_MAX: Final = 10_000

logger = structlog.get_logger(__name__)


async def migrate(pool: asyncpg.Pool) -> list[str]:
    """Bring the schema up to date; returns the names of what was applied."""
    return await apply_migrations(
        pool, SCHEMA, "chappe.shards.migrations", "chappe_ingest.migrations"
    )


@asynccontextmanager
async def edge(context: Context) -> AsyncGenerator[Service]:
    """The door: webhooks, SDK calls, opens, clicks and unsubscribes; and the sources' API."""
    store = Sources(context.pool, context.vault)
    table = SourceTable(store, context.wall)
    await table.refresh()
    tally = Tally(SeenSources(store))
    spool = await _spool(context)
    inlet = Inlet(
        broker=context.broker,
        business=context.business,
        wall=context.wall,
        new_id=random_id,
        spool=spool,
    )

    quarantine = Quarantine(
        PostgresQuarantine(context.pool, context.vault),
        inlet,
        context.business,
        context.wall,
        random_id,
    )

    async def log_or_spool() -> None:
        try:
            await context.broker.ping()
        except BrokerError:
            if spool is None or spool.is_full:
                raise

    async def busy() -> str | None:
        return f"{spool.depth} records wait in the spool" if spool and spool.depth else None

    checks: dict[str, Check] = {"log": log_or_spool}
    api = create_app("ingest", checks=checks, distribution=DISTRIBUTION)
    authorise = require_token(context.admin_token)
    desk = sources_api.SourcesDesk(
        store=store,
        table=table,
        quarantine=quarantine,
        business=context.business,
        wall=context.wall,
        new_id=random_id,
        public_url=context.public_url,
    )
    api.include_router(sources_api.routes(desk, authorise))
    events = events_api.EventsDesk(
        inlet=inlet, identities=PostgresIdentities(context.pool), business=context.business
    )
    api.include_router(events_api.routes(events, authorise))
    imports = imports_api.ImportsDesk(inlet=inlet, business=context.business)
    api.include_router(imports_api.routes(imports, authorise))
    readers = Readers(
        tokens=context.tokens, inlet=inlet, business=context.business, new_id=random_id
    )
    app = front.Front(
        {
            "in": Webhooks(
                sources=table,
                inlet=inlet,
                tally=tally,
                quarantine=quarantine,
                wall=context.wall,
                business=context.business,
            ),
            "v1": Calls(sources=table, inlet=inlet, tally=tally, business=context.business),
            "o": readers.open,
            "c": readers.click,
            "u": readers.unsubscribe,
            "providers": front.no_provider,
        },
        api,
    )
    keeper = _Keeper(table, tally, spool, quarantine)
    yield Service(
        name="ingest",
        app=app,
        patterns=front.PATTERNS,
        run=keeper.run,
        stop=keeper.stop,
        busy=busy,
        checks=checks,
    )
    if spool is not None:
        await spool.stop(SPOOL_PATIENCE_SECONDS)
    await tally.flush()


async def _spool(context: Context) -> Spool | None:
    """The spool in the data directory; without one, an absent log is a 503 to the sender."""
    if context.settings.data is None:
        logger.warning("CHAPPE_DATA is not set: there is no spool for when the log is away")
        return None
    volume = await asyncio.to_thread(open_volume, context.settings.data / "spool")
    spool = Spool(volume, context.broker, context.wall)
    spool.start()
    await spool.notice_orphans()
    return spool


@asynccontextmanager
async def resolver(context: Context) -> AsyncGenerator[Service]:
    """Raw deliveries to events of known contacts."""
    sources = Sources(context.pool, context.vault)
    runner = ShardRunner(
        Resolver(IdentityTables(), sources, context.broker.partitions),
        broker=context.broker,
        pool=context.pool,
        clock=context.business,
        me=context.me,
        exclusive=context.exclusive,
    )
    checks: dict[str, Check] = {"shards": runner.ready, "log": context.broker.ping}
    api = create_app("resolver", checks=checks, distribution=DISTRIBUTION)
    letters = PostgresDeadLetters(context.pool)
    replay = Replay(
        letters=letters, broker=context.broker, business=context.business, new_id=random_id
    )
    authorise = require_token(context.admin_token)
    api.include_router(dead_letters_api.routes(letters, replay, authorise))

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            forgetter = tasks.create_task(_forget_deliveries(context.pool))
            await runner.run()
            forgetter.cancel()

    yield Service(
        name=NAME,
        app=api,
        patterns=("/api/v1/dead-letters/resolver", "/api/v1/dead-letters/resolver/*"),
        run=run,
        stop=runner.stop,
        busy=runner.busy,
        wake=runner.wake,
        checks=checks,
    )


class _Keeper:
    """The edge's housekeeping: sources read again, counts written."""

    def __init__(
        self, table: SourceTable, tally: Tally, spool: Spool | None, quarantine: Quarantine
    ) -> None:
        self._table = table
        self._spool = spool
        self._quarantine = quarantine
        self._tally = tally
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        rounds = 0
        while not self._stopped.is_set():
            try:
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._stopped.wait()
            except TimeoutError:
                pass
            await self._tally.flush()
            rounds += 1
            if rounds * FLUSH_SECONDS >= REFRESH_SECONDS_IDLE:
                rounds = 0
                await self._table.refresh_if_old()
                await self._release()
                if self._spool is not None:
                    await self._spool.notice_orphans()

    async def _release(self) -> None:
        try:
            await self._quarantine.release_all(self._table.all())
        except (OSError, TimeoutError, LogAway, asyncpg.PostgresError, asyncpg.InterfaceError) as e:
            logger.warning("The quarantine was not looked through", error=repr(e))

    async def stop(self) -> None:
        self._stopped.set()


async def _forget_deliveries(pool: asyncpg.Pool) -> None:
    while True:
        await asyncio.sleep(FORGET_SECONDS)
        try:
            await pool.execute(FORGET_DELIVERIES, DELIVERY_WINDOW_DAYS, FORGET_ROWS_MAX)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            logger.warning("Old deliveries were not forgotten", error=repr(error))
