"""One orchestrator as a process would run it, and hands to touch it with."""

import asyncio
import datetime as dt
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
import msgspec

from chappe.broker import Outgoing
from chappe.broker.memory import MemoryBroker
from chappe.clock import HandClock, WallClock
from chappe.events import (
    EVENTS,
    JOURNAL,
    SENDS,
    Cancel,
    Command,
    Decision,
    Event,
    Flags,
    Identifier,
    Send,
    contact_key,
    decode_journal,
    encode_event,
)
from chappe.events.streams import Stream
from chappe.ids import ContactId, EventId, SourceId, WorkspaceId, partition_of
from chappe.service import Context, Service
from chappe.settings import load_settings
from chappe.shards import unwrap, wrap
from chappe.tokens import Tokens, Vault
from chappe_orchestrator.bootstrap import migrate, orchestrator
from chappe_recipes import recipe

PARTITIONS = 4
PATIENCE_SECONDS = 20
TOKEN = "admin"
DEFAULT = WorkspaceId("default")
KEY = b"k" * 32

_command = msgspec.json.Decoder(Command).decode


@dataclass
class Place:
    """``service`` is running; ``http`` speaks to its app."""

    pool: asyncpg.Pool
    clock: HandClock
    broker: MemoryBroker
    service: Service
    http: httpx.AsyncClient
    _events: int = field(default=0)

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        pool: asyncpg.Pool,
        clock: HandClock,
        broker: MemoryBroker | None = None,
        me: str = "one",
    ) -> "AsyncGenerator[Place]":
        await migrate(pool)
        log = broker or MemoryBroker(PARTITIONS)
        context = Context(
            settings=load_settings({}),
            pool=pool,
            broker=log,
            business=clock,
            wall=WallClock(),
            tokens=Tokens(KEY),
            vault=Vault(KEY),
            me=me,
            admin_token=TOKEN,
            public_url="http://shop.test",
            api_url="http://identities.test",
            smtp_url=None,
            exclusive=True,
        )
        async with orchestrator(context) as service:
            running = asyncio.ensure_future(service.run())
            client = httpx.AsyncClient(
                transport=httpx.ASGITransport(service.app),
                base_url="http://orchestrator.test",
                headers={"Authorization": f"Bearer {TOKEN}"},
            )
            try:
                async with client:
                    yield cls(pool, clock, log, service, client)
            finally:
                await service.stop()
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await running

    # -- what happens ---------------------------------------------------------------------------

    async def publish_recipe(self, name: str) -> dict[str, Any]:
        found = recipe(name)
        templates = {
            one: {"version": f"{one}@1", "class": "marketing", "topic": "offers"}
            for one in found.template_files()
        }
        journeys = [{"file": f"{name}/journey.yaml", "yaml": found.journey}]
        answer = await self.http.post(
            "/api/v1/journeys/publish", json={"journeys": journeys, "templates": templates}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def hear(
        self,
        name: str,
        contact: str,
        data: Mapping[str, Any] | None = None,
        *,
        traits: Mapping[str, Any] | None = None,
        flags: Flags | None = None,
    ) -> None:
        """An event arrives on the contact's partition; returns before it is applied."""
        self._events += 1
        event = Event(
            id=EventId(f"e_{self._events}"),
            name=name,
            workspace=DEFAULT,
            source=SourceId("src_shop"),
            occurred_at=self.clock.now(),
            received_at=self.clock.now(),
            contact=ContactId(contact),
            identifiers=(Identifier("email", f"{contact}@example.com"),),
            traits=dict(traits or {}),
            data=dict(data or {}),
            flags=flags or Flags(),
        )
        await self.put(ContactId(contact), encode_event(event))

    async def put(self, contact: ContactId, body: bytes) -> None:
        key = contact_key(DEFAULT, contact)
        record = Outgoing(partition_of(key, PARTITIONS), key, wrap(body))
        await self.broker.append(EVENTS, [record])

    async def settle(self) -> None:
        """Until everything is read, applied and relayed, and nothing is due."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                due = await self.service.next_due() if self.service.next_due else None
                is_due = due is not None and due <= self.clock.now()
                if not is_due and await self.service.busy() is None:
                    return
                await asyncio.sleep(0.01)

    async def advance(self, by: dt.timedelta) -> None:
        """Hop by hop, as the demo's clock does."""
        assert self.service.next_due is not None
        end = self.clock.now() + by
        await self.settle()
        while (due := await self.service.next_due()) is not None and due <= end:
            self.clock.set(due)
            self.service.wake()
            await self.settle()
        self.clock.set(end)

    # -- what came of it ------------------------------------------------------------------------

    async def records(self, stream: Stream) -> list[bytes]:
        """Bodies in order; what the relay repeated is dropped, as every reader does."""
        reader = self.broker.reader(stream)
        await reader.assign(dict.fromkeys(range(PARTITIONS), 0))
        ends = await self.broker.end_offsets(stream)
        left, found = sum(ends.values()), dict[Any, bytes]()
        while left:
            for partition, records in (await reader.read(10_000, 1)).items():
                left -= len(records)
                for record in records:
                    stamp, body = unwrap(record.value)
                    found.setdefault(stamp or (partition, record.offset), body)
        await reader.close()
        return list(found.values())

    async def commands(self) -> list[Send | Cancel]:
        found = [_command(body) for body in await self.records(SENDS)]
        return [one for one in found if isinstance(one, Send | Cancel)]

    async def mails(self, contact: str) -> list[str]:
        commands = await self.commands()
        return [c.step for c in commands if isinstance(c, Send) and c.contact == contact]

    async def decisions(self) -> list[Decision]:
        return [
            decision
            for body in await self.records(JOURNAL)
            for decision in decode_journal(body).decisions
        ]

    async def get(self, path: str, **params: Any) -> Any:
        answer = await self.http.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()
