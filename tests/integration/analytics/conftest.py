"""Analytics as it runs: its own tables, a log in memory, its HTTP app; ingest answers by hand."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest

from chappe.broker import Outgoing
from chappe.broker.memory import MemoryBroker
from chappe.clock import HandClock
from chappe.events import (
    EVENTS,
    EVENTS_BULK,
    JOURNAL,
    RAW_ENGAGEMENT,
    Decision,
    Event,
    JournalBatch,
    RawEngagement,
    Stream,
    contact_key,
    decode_event,
    encode_event,
    encode_journal,
)
from chappe.ids import ContactId, WorkspaceId, partition_of
from chappe.shards import ShardRunner, Stamp, unwrap, wrap
from chappe_analytics.adapters.identities import HttpIdentities
from chappe_analytics.adapters.reading import PostgresReading
from chappe_analytics.adapters.store import SCHEMA, PostgresStore
from chappe_analytics.application.apply_batch import ApplyBatch
from chappe_analytics.application.live import Live
from chappe_analytics.bootstrap import migrate
from chappe_analytics.entrypoints.http import analytics_app
from chappe_analytics.entrypoints.shard import AnalyticsShards

PARTITIONS = 4
TOKEN = "test-token"
KNOWN = {"email:zoe@example.com": "c_zoe", "c_zoe": "c_zoe", "external_id:shop:1/2": "c_zoe"}
SETTLE_SECONDS = 20


def ingest(request: httpx.Request) -> httpx.Response:
    """What ``GET /api/v1/identities/{ref}`` answers."""
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    ref = request.url.path.removeprefix("/api/v1/identities/")
    if ref == "email:away@example.com":
        return httpx.Response(503)
    contact = KNOWN.get(ref)
    return httpx.Response(200, json={"contact": contact}) if contact else httpx.Response(404)


@dataclass
class World:
    """Analytics with everything around it."""

    pool: asyncpg.Pool
    broker: MemoryBroker
    clock: HandClock
    live: Live
    app: Any
    http: httpx.AsyncClient
    runner: ShardRunner
    _seq: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    async def hear(self, *events: Event, stream: Stream = EVENTS) -> None:
        for event in events:
            assert event.contact is not None
            key = contact_key(event.workspace, event.contact)
            await self.append(stream, key, encode_event(event))

    async def decide(self, *decisions: Decision, contact: ContactId, repeat: bool = False) -> None:
        """A batch of the shard that owns ``contact``; ``repeat`` relays it a second time."""
        shard = partition_of(contact_key(WorkspaceId("default"), contact), PARTITIONS)
        body = encode_journal(JournalBatch("orchestrator", shard, decisions))
        value = wrap(body, Stamp("orchestrator", "i1", shard, next(self._seq)))
        for _ in range(2 if repeat else 1):
            await self.broker.append(JOURNAL, [Outgoing(shard, b"orchestrator", value)])

    async def touch(self, *touches: RawEngagement) -> None:
        for one in touches:
            await self.append(RAW_ENGAGEMENT, one.message.encode(), msgspec.json.encode(one))

    async def append(self, stream: Stream, key: bytes, body: bytes) -> None:
        partition = partition_of(key, PARTITIONS)
        await self.broker.append(stream, [Outgoing(partition, key, wrap(body))])

    async def settled(self) -> None:
        """Everything appended is applied, and what that published too."""
        async with asyncio.timeout(SETTLE_SECONDS):
            while await self.runner.busy() is not None:
                await asyncio.sleep(0.01)

    async def published(self) -> list[Event]:
        """What is on ``events`` with analytics' stamp."""
        found: list[Event] = []
        reader = self.broker.reader(EVENTS)
        await reader.assign(dict.fromkeys(range(PARTITIONS), 0))
        for records in (await reader.read(1_000, 0)).values():
            for record in records:
                stamp, body = unwrap(record.value)
                if stamp is not None and stamp.producer == "analytics":
                    found.append(decode_event(body))
        await reader.close()
        return found

    async def timeline(self, ref: str = "c_zoe", /, **params: str | int) -> Any:
        return await self.get(f"/api/v1/contacts/{ref}/timeline", **params)

    async def get(self, path: str, **params: str | int) -> Any:
        answer = await self.http.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
async def world(pool: asyncpg.Pool, clock: HandClock) -> AsyncIterator[World]:
    await migrate(pool)
    live = Live()
    broker = MemoryBroker(PARTITIONS, clock)
    for stream in (EVENTS, EVENTS_BULK, JOURNAL, RAW_ENGAGEMENT):
        await broker.end_offsets(stream)
    store = PostgresStore(pool, PARTITIONS)
    apply_batch = ApplyBatch(store=store, live=live, partitions=PARTITIONS)
    runner = ShardRunner(
        AnalyticsShards(apply_batch, SCHEMA),
        broker=broker, pool=pool, clock=clock, me="one", exclusive=True,
    )  # fmt: skip
    reading = PostgresReading(pool)
    answers = httpx.MockTransport(ingest)
    async with httpx.AsyncClient(transport=answers, base_url="http://ingest") as identities:
        app = analytics_app(
            reading=reading, log=reading, letters=reading, live=live, admin_token=TOKEN,
            identities=HttpIdentities(identities, TOKEN), checks={"shards": runner.ready},
        )  # fmt: skip
        transport = httpx.ASGITransport(app=app)
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://chappe", headers=headers
        ) as http:
            running = asyncio.create_task(runner.run())
            yield World(pool, broker, clock, live, app, http, runner)
            live.close()
            await runner.stop()
            with suppress(asyncio.CancelledError):
                await running
