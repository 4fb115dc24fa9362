"""A sender with a real Postgres, a log in memory and a small SMTP server, one test at a time."""

import asyncio
import datetime as dt
import email
import email.policy
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any, cast

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
    Identifier,
    Send,
    Snapshot,
    contact_key,
    decode_event,
    decode_journal,
    encode_event,
)
from chappe.events.streams import Stream
from chappe.ids import (
    DEFAULT_WORKSPACE,
    ContactId,
    EnrollmentId,
    EventId,
    MessageId,
    StepId,
    partition_of,
    random_id,
)
from chappe.service import Context, Evidence, Service
from chappe.settings import Settings
from chappe.shards import unwrap, wrap
from chappe.tokens import Tokens, Vault
from chappe_sender import bootstrap
from chappe_sender.adapters.smtp.exchanges import SignedNames
from tests.unit.sender.scripted_smtp import Script, ScriptedServer, scripted

PARTITIONS = 4
TOKEN = "a-token-for-tests-only"
SECRET = b"a-secret-key-for-tests-only-0001"
PATIENCE_SECONDS = 20.0

PAGE = """---
subject: "Your cart, {{ contact.first_name | default: 'friend' }}"
class: CLASS
topic: offers
---
<p>Hello {{ contact.first_name }}, <a href="https://shop.example/cart">your cart</a>
<a href="{{ unsubscribe_url }}">Leave</a> {{ brand.address }}</p>
"""
MARKETING = PAGE.replace("CLASS", "marketing")
TRANSACTIONAL = PAGE.replace("CLASS", "transactional")


@dataclass
class Place:
    """What a test holds."""

    service: Service
    broker: MemoryBroker
    pool: asyncpg.Pool
    clock: HandClock
    smtp: ScriptedServer
    http: httpx.AsyncClient
    tokens: Tokens
    running: asyncio.Task[None]
    _count: int = 0
    versions: dict[str, str] = field(default_factory=dict)

    # -- what others do ---------------------------------------------------------------------

    async def publish(self, name: str, text: str) -> str:
        answer = await self.http.post(
            "/api/v1/templates", json={"name": name, "files": {f"{name}.html": text}}
        )
        assert answer.status_code == 201, answer.text
        self.versions[name] = answer.json()["version"]
        return self.versions[name]

    async def command(self, contact: str, command: Command, stream: Stream = SENDS) -> None:
        await self._append(stream, contact, msgspec.json.encode(command))

    async def event(self, contact: str, name: str, /, **fields: Any) -> Event:
        self._count += 1
        now = fields.pop("at", self.clock.now())
        event = Event(
            id=EventId(f"ev_{self._count}"),
            name=name,
            workspace=DEFAULT_WORKSPACE,
            occurred_at=now,
            received_at=self.clock.now(),
            contact=ContactId(contact),
            **fields,
        )
        await self._append(EVENTS, contact, encode_event(event))
        return event

    async def subscribe(self, contact: str, at: dt.datetime | None = None) -> None:
        await self.event(
            contact,
            "contact.created",
            at=at or self.clock.now(),
            identifiers=(Identifier("email", f"{contact}@example.com"),),
            traits={"consent": {"email": "subscribed"}},
        )

    async def ask(self, contact: str, message: str, template: str = "cart", **fields: Any) -> Send:
        """The orchestrator asks for a message."""
        now = self.clock.now()
        given: dict[str, Any] = {
            "message": MessageId(message),
            "workspace": DEFAULT_WORKSPACE,
            "contact": ContactId(contact),
            "enrollment": EnrollmentId(f"en_{contact}"),
            "journey": "abandoned-cart",
            "version": 1,
            "step": StepId(template),
            "template": self.versions.get(template, template),
            "address": f"{contact}@example.com",
            "locale": None,
            "asked_at": now,
            "due_at": now,
            "deadline": now + dt.timedelta(days=1),
            "snapshot": Snapshot(contact={"first_name": "Zoé"}),
        }
        send = Send(**(given | fields))
        await self.command(contact, send)
        return send

    async def cancel(self, contact: str, message: str, reason: str = "exited") -> None:
        await self.command(
            contact,
            Cancel(
                message=MessageId(message),
                workspace=DEFAULT_WORKSPACE,
                contact=ContactId(contact),
                reason=reason,
                at=self.clock.now(),
            ),
        )

    async def advance(self, by: dt.timedelta) -> None:
        self.clock.advance(by)
        self.service.wake()

    async def _append(self, stream: Stream, contact: str, body: bytes) -> None:
        key = contact_key(DEFAULT_WORKSPACE, ContactId(contact))
        record = Outgoing(partition_of(key, PARTITIONS), key, wrap(body))
        await self.broker.append(stream, [record])

    # -- what came of it --------------------------------------------------------------------

    async def settle(self) -> None:
        """Until the sender is at rest."""
        reason: str | None = "not asked"
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while (reason := await self.service.busy()) is not None:
                    assert not self.running.done(), "the sender died"
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"the sender never came to rest: {reason}") from None

    async def next_due(self) -> dt.datetime:
        """When the next message is due, which must be later."""
        assert self.service.next_due is not None
        due = await self.service.next_due()
        assert due is not None
        return due

    async def state(self, message: str) -> tuple[str, str | None]:
        answer = await self.http.get(f"/api/v1/messages/{message}")
        assert answer.status_code == 200, answer.text
        return answer.json()["state"], answer.json()["reason"]

    async def until(self, message: str, state: str) -> None:
        """Until the message is in this state."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                answer = await self.http.get(f"/api/v1/messages/{message}")
                if answer.status_code == 200 and answer.json()["state"] == state:
                    return
                await asyncio.sleep(0.005)

    def mails(self) -> list[EmailMessage]:
        return [
            email.message_from_bytes(raw, policy=email.policy.default) for raw in self.smtp.accepted
        ]

    def sent(self) -> list[str]:
        """The messages accepted, sorted."""
        return sorted(str(mail["Chappe-Message"]) for mail in self.mails())

    def told(self, name: str | None = None) -> list[Event]:
        """The events that the sender published."""
        events = [decode_event(body) for body in self._bodies(EVENTS, relayed=True)]
        return [event for event in events if name is None or event.name == name]

    def journal(self) -> list[Decision]:
        return [
            decision
            for body in self._bodies(JOURNAL, relayed=True)
            for decision in decode_journal(body).decisions
        ]

    def _bodies(self, stream: Stream, *, relayed: bool) -> list[bytes]:
        bodies: list[bytes] = []
        for partition in range(PARTITIONS):
            for record in self.broker.log(stream, partition).slice(0, 100_000):
                stamp, body = unwrap(record.value)
                if (stamp is not None) == relayed:
                    bodies.append(body)
        return bodies


@asynccontextmanager
async def sender_at(
    pool: asyncpg.Pool,
    clock: HandClock,
    smtp: ScriptedServer,
    *,
    broker: MemoryBroker | None = None,
    evidence: Evidence | None = None,
    delivery: str = "live",
    outbound_loopback: bool = False,
    bounce_domain: str | None = None,
    names: SignedNames | None = None,
    delivery_allow: str | None = None,
    shaping: str | None = None,
) -> AsyncGenerator[Place]:
    """A running sender; killed, not stopped, at the end of the block."""
    broker = broker or MemoryBroker(PARTITIONS)
    tokens = Tokens(SECRET)
    context = Context(
        settings=Settings.model_validate(
            {
                "delivery": delivery,
                "delivery_allow": delivery_allow,
                "outbound_loopback": outbound_loopback,
                "bounce_domain": bounce_domain,
                "shaping": shaping,
            }
        ),
        pool=pool,
        broker=broker,
        business=clock,
        wall=WallClock(),
        tokens=tokens,
        vault=Vault(SECRET),
        me=random_id("test_"),
        admin_token=TOKEN,
        public_url="https://mail.example",
        api_url="http://127.0.0.1:1",
        smtp_url=f"smtp://127.0.0.1:{smtp.port}?starttls=never",
        exclusive=True,
        evidence=evidence,
    )
    async with bootstrap.sender(context, names) as service:
        transport = httpx.ASGITransport(app=service.app)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test", headers=headers
        ) as http:
            running = asyncio.create_task(cast("Coroutine[Any, Any, None]", service.run()))
            place = Place(service, broker, pool, clock, smtp, http, tokens, running)
            try:
                yield place
            finally:
                running.cancel()
                results = await asyncio.gather(running, return_exceptions=True)
            for result in results:
                if isinstance(result, Exception) and not isinstance(result, asyncio.CancelledError):
                    raise result


@asynccontextmanager
async def a_sender(
    pool: asyncpg.Pool, clock: HandClock, script: Script | None = None, **options: Any
) -> AsyncGenerator[Place]:
    """A fresh sender with two templates, ``cart`` (marketing) and ``receipt`` (transactional)."""
    await bootstrap.migrate(pool)
    async with scripted(script) as smtp, sender_at(pool, clock, smtp, **options) as place:
        await place.publish("cart", MARKETING)
        await place.publish("receipt", TRANSACTIONAL)
        yield place


__all__ = ["MARKETING", "Place", "Script", "a_sender", "scripted", "sender_at"]
