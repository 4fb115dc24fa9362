import asyncio
import dataclasses

import asyncpg
import httpx
import pytest

from chappe.broker.memory import MemoryBroker
from chappe.clock import HandClock, WallClock
from chappe.service import Context
from chappe.settings import load_settings
from chappe.tokens import Tokens, Vault
from chappe_analytics.bootstrap import analytics, migrate

pytestmark = pytest.mark.integration

SETTLE_SECONDS = 20


async def test_a_stopped_process_leaves_its_shards_to_the_next(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    assert await migrate(pool) == [], "the database has every migration already"
    context = Context(
        settings=load_settings({}),
        pool=pool,
        broker=MemoryBroker(4, clock),
        business=clock,
        wall=WallClock(),
        tokens=Tokens(b"k" * 32),
        vault=Vault(b"k" * 32),
        me="one",
        admin_token="token",
        public_url="http://127.0.0.1:1",
        api_url="http://127.0.0.1:1",
        smtp_url=None,
        exclusive=True,
    )
    async with analytics(context) as service:
        running = asyncio.ensure_future(service.run())
        async with asyncio.timeout(SETTLE_SECONDS):
            while await service.busy() is not None:
                await asyncio.sleep(0.01)
        transport = httpx.ASGITransport(app=service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://chappe") as client:
            ready = await client.get("/readyz")
            assert ready.json()["checks"] == {"postgres": "ok", "log": "ok", "shards": "ok"}
            assert (await client.get("/version")).json()["service"] == "analytics"
            # Ingest does not answer there: a timeline says so, and what to do.
            headers = {"authorization": "Bearer token"}
            away = await client.get("/api/v1/contacts/c_1/timeline", headers=headers)
            assert (away.status_code, away.headers["retry-after"]) == (503, "1")
        await service.stop()
        await running
        owners = await pool.fetch("SELECT owner FROM analytics.shard")
        assert {row["owner"] for row in owners} == {None}
    async with analytics(dataclasses.replace(context, me="two")) as service:
        running = asyncio.ensure_future(service.run())
        async with asyncio.timeout(SETTLE_SECONDS):
            while await service.busy() is not None:
                await asyncio.sleep(0.01)
        await service.stop()
        await running
