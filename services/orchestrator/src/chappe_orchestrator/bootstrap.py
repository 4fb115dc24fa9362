"""Where the orchestrator is put together."""

import asyncio
import datetime as dt
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

import asyncpg
import httpx

from chappe.events.streams import Stream
from chappe.http import Check, Outbound, create_app, require_token
from chappe.ids import WorkspaceId, random_id
from chappe.postgres import migrate as apply_migrations
from chappe.service import Context, Service
from chappe.shards import ShardRunner
from chappe_orchestrator.adapters.calls import BrokerTeller, PostgresCalls
from chappe_orchestrator.adapters.crowds import PostgresCrowds
from chappe_orchestrator.adapters.dead_letters import PostgresDeadLetters
from chappe_orchestrator.adapters.definitions import PostgresDefinitions
from chappe_orchestrator.adapters.history import PostgresHistory
from chappe_orchestrator.adapters.identities import HttpIdentities
from chappe_orchestrator.adapters.notices import HttpNotices
from chappe_orchestrator.adapters.pen import LiquidPen
from chappe_orchestrator.adapters.people import PostgresPeople
from chappe_orchestrator.adapters.segments import PostgresSegments
from chappe_orchestrator.adapters.settings import PostgresHeartbeat, PostgresSettings
from chappe_orchestrator.adapters.store import PostgresStore
from chappe_orchestrator.adapters.topics import HttpTopics
from chappe_orchestrator.application.crowds import CrowdMover
from chappe_orchestrator.application.forgetting import forget_for_ever
from chappe_orchestrator.application.library import Library
from chappe_orchestrator.application.lifecycle import ChangeLives
from chappe_orchestrator.application.ordering import GiveOrders
from chappe_orchestrator.application.outages import Outages
from chappe_orchestrator.application.pausing import PauseJourney
from chappe_orchestrator.application.planning import PlanJourneys
from chappe_orchestrator.application.processor import NAME, SCHEMA, Journeying
from chappe_orchestrator.application.publishing import PublishJourneys
from chappe_orchestrator.application.webhooks import CallMaker
from chappe_orchestrator.entrypoints.dead_letters import dead_letters_router
from chappe_orchestrator.entrypoints.drafts import drafts_router
from chappe_orchestrator.entrypoints.journeys import JourneysApi, journeys_router
from chappe_orchestrator.entrypoints.lifecycle import LifecycleApi, lifecycle_router
from chappe_orchestrator.entrypoints.ordering import OrderingApi, ordering_router
from chappe_orchestrator.entrypoints.people import PeopleApi, people_router
from chappe_orchestrator.entrypoints.segments import SegmentsApi, segments_router
from chappe_orchestrator.entrypoints.settings import SettingsApi, settings_router

PATTERNS = (
    "/api/v1/journeys",
    "/api/v1/journeys/*",
    "/api/v1/segments",
    "/api/v1/segments/*",
    "/api/v1/enrollments",
    "/api/v1/enrollments/*",
    "/api/v1/contacts",
    "/api/v1/contacts/*",
    "/api/v1/dead-letters/orchestrator",
)


async def migrate(pool: asyncpg.Pool) -> list[str]:
    """Bring the orchestrator's schema up to date; returns the files applied."""
    return await apply_migrations(
        pool, SCHEMA, "chappe.shards.migrations", "chappe_orchestrator.migrations"
    )


def _earliest(*instants: dt.datetime | None) -> dt.datetime | None:
    return min((at for at in instants if at is not None), default=None)


async def _beside(first: Coroutine[Any, Any, None], *others: Coroutine[Any, Any, None]) -> None:
    """Run all of them until the first has ended."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(one) for one in others]
        await first
        for task in running:
            task.cancel()


@asynccontextmanager
async def orchestrator(
    context: Context,
) -> AsyncGenerator[Service]:
    """The role that keeps each contact's place in each journey."""
    definitions = PostgresDefinitions(context.pool)
    people = PostgresPeople(context.pool)

    def positions(shard: int) -> Mapping[Stream, int]:
        held = runner.owned.get(shard)
        return held.next_offsets if held else {}

    processor = Journeying(
        store=PostgresStore(context.pool),
        library=Library(definitions),
        history=PostgresHistory(context.pool),
        partitions=context.broker.partitions,
        positions=positions,
        outages=Outages(
            heartbeat=PostgresHeartbeat(context.pool), ping=context.broker.ping, wall=context.wall
        ),
        on_calls=lambda: maker.wake(),  # noqa: PLW0108 - it is made below
    )
    runner = ShardRunner(
        processor,
        broker=context.broker,
        pool=context.pool,
        clock=context.business,
        me=context.me,
        exclusive=context.exclusive,
    )

    def secret(workspace: WorkspaceId) -> bytes:
        """What signs a workspace's webhooks, derived from the installation's key."""
        return bytes.fromhex(context.vault.fingerprint("orchestrator.webhooks", workspace))

    client = httpx.AsyncClient()
    outbound = Outbound(allow_loopback=context.settings.outbound_loopback)
    maker = CallMaker(
        calls=PostgresCalls(context.pool),
        outside=outbound,
        notices=HttpNotices(client, context.api_url, context.admin_token),
        pen=LiquidPen(),
        teller=BrokerTeller(context.broker),
        secret=secret,
        business=context.business,
        wall=context.wall,
    )

    crowds = PostgresCrowds(context.pool)
    mover = CrowdMover(
        crowds=crowds, broker=context.broker, business=context.business, wall=context.wall
    )

    async def database() -> None:
        await context.pool.fetchval("SELECT generation FROM orchestrator.definitions")

    async def run() -> None:
        """The shards, with the watch beside them; ends when the shards were let go."""
        forgetting = forget_for_ever(
            PostgresHistory(context.pool), context.business, lambda: 0 in runner.owned
        )
        await _beside(
            runner.run(), processor.watch(runner.wake), maker.run(), mover.run(), forgetting
        )

    async def busy() -> str | None:
        if not processor.has_loaded(runner.owned):
            return f"{NAME}: claiming shards"
        if (left := await processor.left_to_do(context.business.now())) is not None:
            return f"{NAME}: {left}"
        if await maker.busy():
            return f"{NAME}: webhooks"
        if await crowds.running():
            return f"{NAME}: moves"
        return await runner.busy()

    def wake() -> None:
        runner.wake()
        maker.wake()
        mover.wake()

    async def next_due() -> dt.datetime | None:
        return _earliest(processor.next_due(), await maker.next_due())

    checks: dict[str, Check] = {
        "database": database,
        "log": context.broker.ping,
        "shards": runner.ready,
    }
    app = create_app(NAME, checks=checks, distribution="chappe-orchestrator")
    workspace = require_token(context.admin_token)
    identities = HttpIdentities(client, context.api_url, context.admin_token)
    async with client, aclosing(outbound):
        app.include_router(
            segments_router(
                SegmentsApi(
                    shelf=PostgresSegments(context.pool),
                    topics=HttpTopics(client, context.api_url, context.admin_token),
                    settings=PostgresSettings(context.pool),
                    clock=context.business,
                    workspace=workspace,
                )
            )
        )
        app.include_router(
            settings_router(
                SettingsApi(
                    shelf=PostgresSettings(context.pool),
                    clock=context.business,
                    workspace=workspace,
                    secret=secret,
                )
            )
        )
        app.include_router(
            lifecycle_router(
                LifecycleApi(
                    shelf=definitions,
                    plan=PlanJourneys(shelf=definitions, people=people),
                    lives=ChangeLives(
                        shelf=definitions,
                        people=people,
                        crowds=crowds,
                        new_id=random_id,
                        wake=mover.wake,
                        wall=context.wall,
                    ),
                    crowds=crowds,
                    clock=context.business,
                    workspace=workspace,
                )
            )
        )
        topics = HttpTopics(client, context.api_url, context.admin_token)
        journeys = JourneysApi(
            shelf=definitions,
            segments=PostgresSegments(context.pool),
            topics=topics,
            people=people,
            clock=context.business,
            publish=PublishJourneys(
                shelf=definitions,
                topics=topics,
                moved=PlanJourneys(shelf=definitions, people=people).moved,
            ),
            pause=PauseJourney(shelf=definitions, broker=context.broker),
            workspace=workspace,
        )
        app.include_router(drafts_router(journeys))
        app.include_router(journeys_router(journeys))
        app.include_router(
            ordering_router(
                OrderingApi(
                    orders=GiveOrders(
                        people=people,
                        broker=context.broker,
                        clock=context.business,
                        new_id=random_id,
                    ),
                    people=people,
                    shelf=definitions,
                    identities=identities,
                    partitions=context.broker.partitions,
                    workspace=workspace,
                )
            )
        )
        app.include_router(
            people_router(
                PeopleApi(
                    people=people,
                    identities=identities,
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
            wake=wake,
            checks=checks,
        )
