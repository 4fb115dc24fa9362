"""Where the ingest service's parts meet: two process roles, ``edge`` and ``resolver``."""

import asyncio
import datetime as dt
import random
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import asyncpg
import structlog

from chappe.broker import BrokerError
from chappe.clock import Clock
from chappe.http import Check, Outbound, create_app, require_token
from chappe.ids import random_id
from chappe.postgres import migrate as apply_migrations
from chappe.service import Context, Service
from chappe.settings import SettingsError
from chappe.shards import ShardRunner
from chappe_ingest.adapters.dead_letters import PostgresDeadLetters
from chappe_ingest.adapters.hydration_shops import VendorApis
from chappe_ingest.adapters.hydrations import PostgresHydrations
from chappe_ingest.adapters.identities import PostgresIdentities
from chappe_ingest.adapters.identity_tables import FORGET_DELIVERIES, SCHEMA, IdentityTables
from chappe_ingest.adapters.imports import PostgresProgress
from chappe_ingest.adapters.intake import ImapBox, Listener, MailboxError, mailbox_of
from chappe_ingest.adapters.key_sets import KeyDocuments
from chappe_ingest.adapters.privacy import PostgresPrivacy
from chappe_ingest.adapters.pulls import PostgresPulls
from chappe_ingest.adapters.pulls_write_back import PostgresQueue, PullReports
from chappe_ingest.adapters.quarantine import PostgresQuarantine
from chappe_ingest.adapters.set_aside import SetAsideFiles
from chappe_ingest.adapters.shops import OpenShops, addresses
from chappe_ingest.adapters.sources import SeenSources, Sources
from chappe_ingest.adapters.spool import open_volume
from chappe_ingest.adapters.sweeping import PostgresKept
from chappe_ingest.application.forgetting import ForgetShops
from chappe_ingest.application.hydrating import Hydrator
from chappe_ingest.application.inlet import Inlet, LogAway
from chappe_ingest.application.key_sets import KeySets
from chappe_ingest.application.pulling import Puller, watch
from chappe_ingest.application.quarantine import Quarantine
from chappe_ingest.application.replay import Replay
from chappe_ingest.application.resolver import NAME, Resolver
from chappe_ingest.application.returned import Returned
from chappe_ingest.application.silence import watch as watch_sources
from chappe_ingest.application.source_table import REFRESH_SECONDS_IDLE, SourceTable
from chappe_ingest.application.spool import Spool
from chappe_ingest.application.sweeping import Sweep
from chappe_ingest.application.tally import Tally
from chappe_ingest.application.write_back import WriteBacks
from chappe_ingest.entrypoints import (
    dead_letters_api,
    events_api,
    front,
    imports_api,
    privacy_api,
    pulls_api,
    set_aside_api,
    sources_api,
)
from chappe_ingest.entrypoints.calls import Calls
from chappe_ingest.entrypoints.providers import Providers
from chappe_ingest.entrypoints.readers import Readers
from chappe_ingest.entrypoints.webhooks import Webhooks

DISTRIBUTION: Final = "chappe-ingest"
FLUSH_SECONDS: Final = 5.0
SPOOL_PATIENCE_SECONDS: Final = 3.0
"""How long a process that stops tries to empty its spool; the rest stays on disk."""

FORGET_SECONDS: Final = 600.0
"""How often deliveries older than the window are forgotten."""

DELIVERY_WINDOW_DAYS: Final = 7
SET_ASIDE_KEPT: Final = dt.timedelta(days=14)
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
    outbound = Outbound(allow_loopback=context.settings.outbound_loopback)
    keys = KeySets(KeyDocuments(outbound), store, table, context.wall)
    desk = sources_api.SourcesDesk(
        store=store,
        table=table,
        quarantine=quarantine,
        keys=keys,
        business=context.business,
        wall=context.wall,
        new_id=random_id,
        public_url=context.public_url,
        standings=PullReports(context.pool),
        erasings=PostgresPrivacy(context.pool),
    )
    api.include_router(sources_api.routes(desk, authorise))
    events = events_api.EventsDesk(
        inlet=inlet, identities=PostgresIdentities(context.pool), business=context.business
    )
    privacy = privacy_api.PrivacyDesk(
        inlet=inlet,
        identities=PostgresIdentities(context.pool),
        privacy=PostgresPrivacy(context.pool),
        business=context.business,
    )
    api.include_router(privacy_api.routes(privacy, authorise))
    api.include_router(events_api.routes(events, authorise))
    imports = imports_api.ImportsDesk(
        inlet=inlet,
        progress=PostgresProgress(context.pool),
        business=context.business,
        wall=context.wall,
    )
    api.include_router(imports_api.routes(imports, authorise))
    pulls = pulls_api.PullsDesk(
        store=store,
        jobs=PostgresPulls(context.pool, store),
        reports=PullReports(context.pool),
        business=context.business,
        wall=context.wall,
        new_id=random_id,
    )
    api.include_router(pulls_api.routes(pulls, authorise))
    data = context.settings.data
    shelf = SetAsideFiles(data / "spool" / "set-aside") if data is not None else None
    aside = set_aside_api.SetAsideDesk(shelf=shelf, broker=context.broker)
    api.include_router(set_aside_api.routes(aside, authorise))
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
                keys=keys,
                wall=context.wall,
                business=context.business,
            ),
            "v1": Calls(sources=table, inlet=inlet, tally=tally, business=context.business),
            "o": readers.open,
            "c": readers.click,
            "u": readers.unsubscribe,
            "providers": Providers(
                tokens=context.tokens,
                vault=context.vault,
                inlet=inlet,
                business=context.business,
                wall=context.wall,
                new_id=random_id,
            ),
        },
        api,
    )
    keeper = _Keeper(table, tally, spool, quarantine, shelf, context.wall)
    async with _intake(context, inlet):
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
    await outbound.aclose()


@asynccontextmanager
async def _intake(context: Context, inlet: Inlet) -> AsyncGenerator[None]:
    """Returned mail, where it was asked for. Raises ``SettingsError``."""
    returned = Returned(
        tokens=context.tokens,
        inlet=inlet,
        business=context.business,
        wall=context.wall,
        new_id=random_id,
    )
    settings = context.settings
    async with AsyncExitStack() as stack:
        if settings.bounce_smtp_port is not None:
            host_name = settings.bounce_domain or "localhost"
            listener = Listener(returned, host_name)
            try:
                await listener.listen(settings.bounce_smtp_host, settings.bounce_smtp_port)
            except OSError as error:
                raise SettingsError(f"CHAPPE_BOUNCE_SMTP_PORT: {error}") from None
            stack.push_async_callback(listener.close)
        if settings.bounce_imap_url is not None:
            try:
                mailbox = mailbox_of(settings.bounce_imap_url.get_secret_value())
            except MailboxError as error:
                raise SettingsError(str(error)) from None
            reading = asyncio.create_task(ImapBox(mailbox, returned).run(), name="returned mail")
            stack.callback(reading.cancel)
        yield


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
    outbound = Outbound(allow_loopback=context.settings.outbound_loopback)
    hydrator = _hydrator(context, sources, outbound)
    tally = Tally(SeenSources(sources))
    runner = ShardRunner(
        Resolver(
            IdentityTables(context.vault.fingerprint),
            sources,
            context.broker.partitions,
            write_backs=PostgresQueue(context.wall),
            asked=hydrator.wake,
            tally=tally,
        ),
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

    puller = _puller(context, sources, outbound)
    sweep = Sweep(
        kept=PostgresKept(context.pool, context.vault.fingerprint),
        quarantine=PostgresQuarantine(context.pool, context.vault),
    )

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            helpers = [
                tasks.create_task(_forget_deliveries(context.pool)),
                tasks.create_task(puller.run()),
                tasks.create_task(hydrator.run()),
                tasks.create_task(_forget_shops(context).run()),
                tasks.create_task(sweep.run()),
                tasks.create_task(watch_sources(sources, tally, context.business)),
                tasks.create_task(watch(PullReports(context.pool), context.wall)),
            ]
            await runner.run()
            for helper in helpers:
                helper.cancel()

    async def stop() -> None:
        await hydrator.stop()
        await runner.stop()

    async def busy() -> str | None:
        return await runner.busy() or await hydrator.busy()

    yield Service(
        name=NAME,
        app=api,
        patterns=("/api/v1/dead-letters/resolver", "/api/v1/dead-letters/resolver/*"),
        run=run,
        stop=stop,
        busy=busy,
        wake=runner.wake,
        checks=checks,
    )
    await outbound.aclose()


def _forget_shops(context: Context) -> ForgetShops:
    return ForgetShops(
        tasks=PostgresPrivacy(context.pool),
        inlet=Inlet(
            broker=context.broker, business=context.business, wall=context.wall, new_id=random_id
        ),
        business=context.business,
    )


def _hydrator(context: Context, sources: Sources, outbound: Outbound) -> Hydrator:
    loopback = context.settings.outbound_loopback
    return Hydrator(
        hydrations=PostgresHydrations(context.pool),
        shops=VendorApis(outbound, sources.access, context.wall, loopback=loopback),
        broker=context.broker,
        wall=context.wall,
        spread=random.random,
    )


def _puller(context: Context, sources: Sources, outbound: Outbound) -> Puller:
    pulls = PostgresPulls(context.pool, sources)
    address_of = addresses(loopback=context.settings.outbound_loopback)
    return Puller(
        pulls=pulls,
        shops=OpenShops(outbound, sources.api_token, address_of),
        inlet=Inlet(
            broker=context.broker, business=context.business, wall=context.wall, new_id=random_id
        ),
        write_backs=WriteBacks(pulls=pulls, wall=context.wall),
        business=context.business,
        wall=context.wall,
        me=context.me,
    )


class _Keeper:
    """The edge's housekeeping: sources read again, counts written."""

    def __init__(
        self,
        table: SourceTable,
        tally: Tally,
        spool: Spool | None,
        quarantine: Quarantine,
        shelf: SetAsideFiles | None,
        wall: Clock,
    ) -> None:
        self._table = table
        self._shelf = shelf
        self._wall = wall
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
                if self._shelf is not None:
                    then = self._wall.now() - SET_ASIDE_KEPT
                    await asyncio.to_thread(self._shelf.discard_before, then)

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
