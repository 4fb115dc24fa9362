"""Where the orchestrator is put together."""

import asyncio
import datetime as dt
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import asyncpg
import httpx

from chappe.events.streams import Stream
from chappe.http import Check, create_app, require_token
from chappe.postgres import migrate as apply_migrations
from chappe.service import Context, Service
from chappe.shards import ShardRunner
from chappe_orchestrator.adapters.dead_letters import PostgresDeadLetters
from chappe_orchestrator.adapters.definitions import PostgresDefinitions
from chappe_orchestrator.adapters.identities import HttpIdentities
from chappe_orchestrator.adapters.people import PostgresPeople
from chappe_orchestrator.adapters.store import PostgresStore
from chappe_orchestrator.application.library import Library
from chappe_orchestrator.application.pausing import PauseJourney
from chappe_orchestrator.application.processor import NAME, SCHEMA, Journeying
from chappe_orchestrator.application.publishing import PublishJourneys
from chappe_orchestrator.entrypoints.dead_letters import dead_letters_router
from chappe_orchestrator.entrypoints.journeys import JourneysApi, journeys_router
from chappe_orchestrator.entrypoints.people import PeopleApi, people_router

PATTERNS = (
    "/api/v1/journeys",
    "/api/v1/journeys/*",
    "/api/v1/enrollments",
    "/api/v1/contacts",
    "/api/v1/contacts/*",
    "/api/v1/dead-letters/orchestrator",
)


async def migrate(pool: asyncpg.Pool) -> list[str]:
    """Bring the orchestrator's schema up to date; returns the files applied."""
    return await apply_migrations(
        pool, SCHEMA, "chappe.shards.migrations", "chappe_orchestrator.migrations"
    )


@asynccontextmanager
async def orchestrator(context: Context) -> AsyncGenerator[Service]:
    """The role that keeps each contact's place in each journey."""
    definitions = PostgresDefinitions(context.pool)
    people = PostgresPeople(context.pool)

    def positions(shard: int) -> Mapping[Stream, int]:
        held = runner.owned.get(shard)
        return held.next_offsets if held else {}

    processor = Journeying(
        store=PostgresStore(context.pool),
        library=Library(definitions),
        partitions=context.broker.partitions,
        positions=positions,
    )
    runner = ShardRunner(
        processor,
        broker=context.broker,
        pool=context.pool,
        clock=context.business,
        me=context.me,
        exclusive=context.exclusive,
    )

    async def database() -> None:
        await context.pool.fetchval("SELECT generation FROM orchestrator.definitions")

    async def run() -> None:
        """The shards, with the watch beside them; ends when the shards were let go."""
        async with asyncio.TaskGroup() as tasks:
            watch = tasks.create_task(processor.watch(runner.wake))
            await runner.run()
            watch.cancel()

    async def busy() -> str | None:
        if not processor.has_loaded(runner.owned):
            return f"{NAME}: claiming shards"
        due = processor.next_due()
        if due is not None and due <= context.business.now():
            return f"{NAME}: timers"
        return await runner.busy()

    async def next_due() -> dt.datetime | None:
        return processor.next_due()

    checks: dict[str, Check] = {
        "database": database,
        "log": context.broker.ping,
        "shards": runner.ready,
    }
    app = create_app(NAME, checks=checks, distribution="chappe-orchestrator")
    workspace = require_token(context.admin_token)
    async with httpx.AsyncClient() as client:
        app.include_router(
            journeys_router(
                JourneysApi(
                    shelf=definitions,
                    people=people,
                    clock=context.business,
                    publish=PublishJourneys(shelf=definitions),
                    pause=PauseJourney(shelf=definitions, broker=context.broker),
                    workspace=workspace,
                )
            )
        )
        app.include_router(
            people_router(
                PeopleApi(
                    people=people,
                    identities=HttpIdentities(client, context.api_url, context.admin_token),
                    partitions=context.broker.partitions,
                    workspace=workspace,
                )
            )
        )
        app.include_router(dead_letters_router(PostgresDeadLetters(context.pool), workspace))
        yield Service(
            name=NAME,
            app=app,
            patterns=PATTERNS,
            run=run,
            stop=runner.stop,
            busy=busy,
            next_due=next_due,
            wake=runner.wake,
            checks=checks,
        )
