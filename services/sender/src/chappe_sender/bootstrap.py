"""Where the sender's parts meet."""

import asyncio
import datetime as dt
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg
from fastapi import FastAPI

from chappe.broker import Outgoing
from chappe.events import Event, contact_key, encode_event
from chappe.events.streams import EVENTS
from chappe.http import Check, create_app
from chappe.ids import partition_of, random_id
from chappe.postgres import migrate as apply_migrations
from chappe.service import Context, Service
from chappe.settings import SettingsError
from chappe.shards import ShardRunner, wrap
from chappe_sender.adapters.catalogue import PostgresCatalogue
from chappe_sender.adapters.compiler import publish
from chappe_sender.adapters.ledger import PostgresLedger
from chappe_sender.adapters.reads import PostgresReads
from chappe_sender.adapters.renderer import Renderer
from chappe_sender.adapters.smtp import SmtpWayOut, route_of
from chappe_sender.adapters.smtp.route import RouteError
from chappe_sender.application.handover import HandOver
from chappe_sender.application.lag import Lag
from chappe_sender.application.letter import Scribe
from chappe_sender.application.processor import SenderProcessor
from chappe_sender.domain.addresses import Address, Mailbox, parse_address
from chappe_sender.entrypoints import api, preferences

SCHEMA = "sender"
LINGER_SECONDS = 0.015
"""Lets a message and the events before it, or two outcomes, share one batch at a trickle."""

PATTERNS = (
    "/p/*",
    "/api/v1/templates*",
    "/api/v1/brand",
    "/api/v1/messages*",
    "/api/v1/suppressions*",
    "/api/v1/dead-letters/sender",
)


async def migrate(pool: asyncpg.Pool) -> list[str]:
    """Apply the sender's migrations; returns the names of those that were new."""
    return await apply_migrations(
        pool, SCHEMA, "chappe.shards.migrations", "chappe_sender.migrations"
    )


@asynccontextmanager
async def sender(context: Context) -> AsyncGenerator[Service]:
    """The ``sender`` role. Raises ``SettingsError`` when there is no usable way out."""
    catalogue = PostgresCatalogue(context.pool, context.business)
    ledger = PostgresLedger(context.pool, context.broker.partitions)
    handover = _hand_over(context, catalogue, ledger)
    runner = ShardRunner(
        SenderProcessor(ledger, catalogue, handover, context.business),
        broker=context.broker,
        pool=context.pool,
        clock=context.business,
        me=context.me,
        exclusive=context.exclusive,
        linger_seconds=LINGER_SECONDS,
    )
    ledger.runner = runner
    handover.lag.positions = lambda: {
        shard: owned.next_offsets.get(EVENTS, 0) for shard, owned in runner.owned.items()
    }

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            handing_over = tasks.create_task(handover.run(), name="sender hand-over")
            await runner.run()
            handing_over.cancel()

    async def stop() -> None:
        await handover.drain()
        await runner.stop()

    async def busy() -> str | None:
        if (reason := await runner.busy()) is not None:
            return reason
        sending, due, _ = await ledger.standing(context.business.now())
        waiting = max(sending + due, handover.in_flight)
        return f"sender: {waiting} messages on their way" if waiting else None

    async def next_due() -> dt.datetime | None:
        return (await ledger.standing(context.business.now()))[2]

    def wake() -> None:
        runner.wake()
        handover.wake()

    checks: dict[str, Check] = {"shards": runner.ready}
    yield Service(
        name="sender",
        app=_app(context, catalogue, checks),
        patterns=PATTERNS,
        run=run,
        stop=stop,
        busy=busy,
        next_due=next_due,
        wake=wake,
        checks=checks,
    )


def _hand_over(context: Context, catalogue: PostgresCatalogue, ledger: PostgresLedger) -> HandOver:
    host = urlsplit(context.public_url).hostname or "localhost"
    address = parse_address(f"hello@{host}") or Address("hello", "localhost")
    try:
        route = route_of(context.smtp_url or "", ehlo_name=address.domain)
    except RouteError as error:
        raise SettingsError(str(error)) from None
    return HandOver(
        ledger=ledger,
        catalogue=catalogue,
        scribe=Scribe(Renderer(), context.tokens, context.public_url, Mailbox("", address)),
        way_out=SmtpWayOut(route),
        business=context.business,
        wall=context.wall,
        lag=Lag(context.broker, dict),
        evidence=context.evidence,
        # Until there is an allow-list, nobody is on it.
        capture=context.settings.delivery != "live",
    )


def _app(context: Context, catalogue: PostgresCatalogue, checks: dict[str, Check]) -> FastAPI:
    async def tell(event: Event) -> None:
        assert event.contact is not None
        key = contact_key(event.workspace, event.contact)
        partition = partition_of(key, context.broker.partitions)
        await context.broker.append(EVENTS, [Outgoing(partition, key, wrap(encode_event(event)))])

    app = create_app("sender", checks=checks, distribution="chappe-sender")
    reads = PostgresReads(context.pool)
    app.include_router(
        api.router(
            api.Api(
                admin_token=context.admin_token,
                shelf=catalogue,
                reads=reads,
                compile=publish,
                clock=context.business,
            )
        )
    )
    app.include_router(
        preferences.router(
            preferences.Preferences(
                tokens=context.tokens,
                shelf=catalogue,
                reads=reads,
                publish=tell,
                clock=context.business,
                new_id=random_id,
            )
        )
    )
    return app
