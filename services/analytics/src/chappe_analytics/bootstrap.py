"""Where the parts of analytics meet."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg
import httpx

from chappe.postgres import migrate as apply_migrations
from chappe.service import Context, Service
from chappe.shards import ShardRunner
from chappe_analytics.adapters.identities import HttpIdentities
from chappe_analytics.adapters.pruning import keep_pruning
from chappe_analytics.adapters.reading import PostgresReading
from chappe_analytics.adapters.store import SCHEMA, PostgresStore
from chappe_analytics.application.apply_batch import ApplyBatch
from chappe_analytics.application.live import Live
from chappe_analytics.entrypoints.http import analytics_app
from chappe_analytics.entrypoints.shard import AnalyticsShards

LINGER_SECONDS = 0.1
"""Nobody waits for a count; at a trickle of events this saves most of the statements."""

PATTERNS = (
    "/api/v1/contacts/*/timeline",
    "/api/v1/contacts/*/timeline/export",
    "/api/v1/reports/*",
    "/api/v1/live",
    "/api/v1/dead-letters/analytics",
)


async def migrate(pool: asyncpg.Pool) -> list[str]:
    """Bring schema ``analytics`` up to date; returns the names of what was applied."""
    return await apply_migrations(
        pool, SCHEMA, "chappe.shards.migrations", "chappe_analytics.migrations"
    )


@asynccontextmanager
async def analytics(context: Context) -> AsyncGenerator[Service]:
    """Verdicts, counts, timelines, reports, and the live stream."""
    live = Live()
    apply_batch = ApplyBatch(
        store=PostgresStore(context.pool, context.broker.partitions),
        live=live,
        partitions=context.broker.partitions,
    )
    runner = ShardRunner(
        AnalyticsShards(apply_batch, SCHEMA),
        broker=context.broker,
        pool=context.pool,
        clock=context.business,
        me=context.me,
        exclusive=context.exclusive,
        linger_seconds=LINGER_SECONDS,
    )
    reading = PostgresReading(context.pool)

    async def database() -> None:
        await context.pool.fetchval("SELECT 1")

    checks = {"postgres": database, "log": context.broker.ping, "shards": runner.ready}

    async def run() -> None:
        pruning = asyncio.create_task(keep_pruning(context.pool), name="analytics pruning")
        try:
            await runner.run()
        finally:
            pruning.cancel()

    async def stop() -> None:
        live.close()
        await runner.stop()

    async with httpx.AsyncClient(base_url=context.api_url) as client:
        app = analytics_app(
            reading=reading,
            log=reading,
            letters=reading,
            identities=HttpIdentities(client, context.admin_token),
            live=live,
            admin_token=context.admin_token,
            checks=checks,
        )
        yield Service(
            name="analytics",
            app=app,
            patterns=PATTERNS,
            run=run,
            stop=stop,
            busy=runner.busy,
            wake=runner.wake,
            checks=dict(checks),
        )
