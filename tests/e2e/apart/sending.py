"""Senders by themselves: asked through the log as the orchestrator asks, killed, and counted."""

import asyncio
import datetime as dt
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import msgspec

from chappe.broker import Broker, Outgoing
from chappe.broker.installation import open_broker
from chappe.clock import WallClock, monotonic
from chappe.events import (
    EVENTS,
    SENDS,
    Command,
    Event,
    Identifier,
    Release,
    Send,
    Snapshot,
    contact_key,
    encode_event,
)
from chappe.ids import (
    DEFAULT_WORKSPACE,
    ContactId,
    EnrollmentId,
    EventId,
    MessageId,
    StepId,
    partition_of,
)
from chappe.postgres import open_pool
from chappe.settings import Settings
from chappe.shards import wrap
from chappe_onebox.box.context import migrate_everything
from chappe_onebox.box.roles import find_roles
from tests.e2e.apart.driving import api
from tests.e2e.apart.fleet import KEY, PATIENCE_SECONDS, TOKEN, Process, Processes

SHARDS = 8
RECEIPT_EVERY = 3
"""Every third person also gets a receipt."""
WAITING_LOW = 300
ASKED_AT_ONCE = 100
LOOK_SECONDS = 0.05

PAGE = """---
subject: "NAME for {{ contact.first_name | default: 'you' }}"
class: CLASS
topic: offers
---
<p>Hello {{ contact.first_name }}, <a href="https://shop.example/cart">your cart</a>
<a href="{{ unsubscribe_url }}">Leave</a> {{ brand.address }}</p>
"""
BRAND = {"name": "Bar", "from": "Bar <hello@shop.example>", "address": "1 Quay, Brest"}

WAITING = """
    SELECT count(*) FROM sender.message WHERE state IN ('pending', 'scheduled', 'sending')
"""
TAKEN_UP = """
    SELECT count(*) FROM sender.message WHERE state NOT IN ('pending', 'sending')
"""
STATES = "SELECT id, state FROM sender.message"
STANDING = """
    SELECT state, reason, detail, committing, count(*) FROM sender.message GROUP BY 1, 2, 3, 4
"""
OWNED = "SELECT count(*) FROM sender.shard WHERE owner LIKE '%-' || $1"
ON_THE_WIRE = """
    SELECT count(*) FROM sender.message m JOIN sender.shard s USING (shard)
     WHERE m.state = 'sending' AND m.committing AND m.epoch = s.epoch AND s.owner LIKE '%-' || $1
"""
DIED = """
    WITH gone AS (DELETE FROM sender.worker WHERE worker LIKE '%-' || $1)
    UPDATE sender.shard SET lease_until = now() WHERE owner LIKE '%-' || $1
"""
SOON = "UPDATE sender.message SET next_attempt_at = now() WHERE state = 'scheduled'"


@dataclass
class Load:
    """What was asked for. Marketing is ``m_…``, receipts are ``r_…``."""

    broker: Broker
    pool: asyncpg.Pool
    people: int = 0
    marketing: set[str] = field(default_factory=set)
    receipts: set[str] = field(default_factory=set)
    versions: dict[str, str] = field(default_factory=dict)
    _clock: WallClock = field(default_factory=WallClock)

    @property
    def given(self) -> int:
        return len(self.marketing) + len(self.receipts)

    async def ask(self, people: int = ASKED_AT_ONCE) -> None:
        """More people, who subscribe and are written to."""
        numbers = range(self.people, self.people + people)
        self.people = numbers.stop
        await self.broker.append(EVENTS, [self._subscribes(f"c{n}") for n in numbers])
        # As the orchestrator does: hand nothing over before you have read what I had read.
        ends = await self.broker.end_offsets(EVENTS)
        asked = [self._send(f"m_{n}", f"c{n}", "cart", ends) for n in numbers]
        asked += [
            self._send(f"r_{n}", f"c{n}", "receipt", ends)
            for n in numbers
            if n % RECEIPT_EVERY == 0
        ]
        await self.broker.append(SENDS, asked)
        self.marketing |= {f"m_{n}" for n in numbers}
        self.receipts |= {f"r_{n}" for n in numbers if n % RECEIPT_EVERY == 0}

    async def hurry(self) -> None:
        """What waits for its next attempt waits no longer: nobody has an hour."""
        await self.pool.execute(SOON)
        told = Release(workspace=DEFAULT_WORKSPACE, journey="none", at=self._clock.now())
        await self.broker.append(
            SENDS, [Outgoing(n, b"", wrap(msgspec.json.encode(told))) for n in range(SHARDS)]
        )

    async def states(self) -> dict[str, str]:
        return {row["id"]: row["state"] for row in await self.pool.fetch(STATES)}

    def _subscribes(self, contact: str) -> Outgoing:
        now = self._clock.now()
        event = Event(
            id=EventId(f"ev_{contact}"),
            name="contact.created",
            workspace=DEFAULT_WORKSPACE,
            occurred_at=now,
            received_at=now,
            contact=ContactId(contact),
            identifiers=(Identifier("email", f"{contact}@bar.example"),),
            traits={"consent": {"email": "subscribed"}},
        )
        return _to(contact, encode_event(event))

    def _send(self, message: str, contact: str, template: str, ends: Mapping[int, int]) -> Outgoing:
        now = self._clock.now()
        command: Command = Send(
            message=MessageId(message),
            workspace=DEFAULT_WORKSPACE,
            contact=ContactId(contact),
            enrollment=EnrollmentId(f"en_{message}"),
            journey="kills",
            version=1,
            step=StepId(template),
            template=self.versions[template],
            address=f"{contact}@bar.example",
            locale=None,
            asked_at=now,
            due_at=now,
            deadline=now + dt.timedelta(days=1),
            needs={
                EVENTS: ends[
                    partition_of(contact_key(DEFAULT_WORKSPACE, ContactId(contact)), SHARDS)
                ]
            },
            snapshot=Snapshot(contact={"first_name": contact}),
        )
        return _to(contact, msgspec.json.encode(command))


def _to(contact: str, body: bytes) -> Outgoing:
    key = contact_key(DEFAULT_WORKSPACE, ContactId(contact))
    return Outgoing(partition_of(key, SHARDS), key, wrap(body))


@dataclass(frozen=True)
class Strike:
    """A kill at a named point, the ``passes``-th time that it is passed; or, without, after a
    while, inside of ``moment``.
    """

    point: str = "some moment"
    passes: int | None = None
    moment: Callable[[Process], AbstractAsyncContextManager[None]] | None = None


@dataclass
class Senders:
    """A fleet of senders alone, and what they are asked for."""

    fleet: Processes
    load: Load
    pool: asyncpg.Pool
    marks: Path
    kills: int = 0
    struck: list[str] = field(default_factory=list)

    async def begin(self) -> Process:
        """One healthy sender, with what it needs to write mail."""
        first = self.fleet.start("sender")
        await eventually("the first sender is ready", lambda: is_ready(first))
        await asyncio.to_thread(api, first, "PUT", "/api/v1/brand", BRAND)
        for name, kind in (("cart", "marketing"), ("receipt", "transactional")):
            text = PAGE.replace("NAME", name).replace("CLASS", kind)
            body = {"name": name, "files": {f"{name}.html": text}}
            made = await asyncio.to_thread(api, first, "POST", "/api/v1/templates", body)
            self.load.versions[name] = made["version"]
        return first

    async def keep_busy(self) -> None:
        """For ever: there is always something to send, and never much."""
        while True:
            if self.load.given - await self.pool.fetchval(TAKEN_UP) < WAITING_LOW:
                await self.load.ask()
            await asyncio.sleep(LOOK_SECONDS)

    async def suffer(self, strikes: Sequence[Sequence[Strike]], dice: random.Random) -> None:
        """Under load: kill the first sender, then each that follows, some at the same time."""
        async with asyncio.TaskGroup() as tasks:
            busy = tasks.create_task(self.keep_busy())
            await asyncio.sleep(dice.uniform(0.5, 1.5))
            await self.kill(self.fleet.processes[-1], "some moment")
            struck = [tasks.create_task(self._each(row, dice)) for row in strikes]
            await asyncio.gather(*struck)
            busy.cancel()

    async def _each(self, strikes: Sequence[Strike], dice: random.Random) -> None:
        """One after the other."""
        for strike in strikes:
            await self._one(strike, dice)

    async def _one(self, strike: Strike, dice: random.Random) -> None:
        mark = self.marks / f"mark-{len(self.fleet.processes)}"
        fault = f"{strike.point}:{strike.passes}" if strike.passes is not None else None
        doomed = self.fleet.start("sender", fault=fault, mark=mark)
        if fault is not None:
            await eventually(f"{fault} is reached", lambda: _reached(doomed, mark))
        else:
            await eventually("a sender at work", lambda: self._owns(doomed))
            await asyncio.sleep(dice.uniform(0.3, 2.0))
        async with strike.moment(doomed) if strike.moment is not None else nullcontext():
            await self.kill(doomed, strike.point)

    async def kill(self, process: Process, when: str) -> None:
        """Its lease ends at once: a test cannot wait for it."""
        process.handle.kill()
        await asyncio.to_thread(process.handle.wait, 10)
        self.kills += 1
        self.struck.append(when)
        await self.pool.execute(DIED, _name(process))

    async def settle(self, seconds: float) -> None:
        """Until nothing is on its way any more."""

        async def at_rest() -> bool:
            if await self.pool.fetchval(WAITING) == 0:
                return True
            await self.load.hurry()
            await asyncio.sleep(0.3)
            return False

        try:
            await eventually("all messages have ended", at_rest, seconds)
        except AssertionError as error:
            error.add_note(str([tuple(row) for row in await self.pool.fetch(STANDING)]))
            raise

    async def on_the_wire(self, process: Process) -> int:
        """How many of its messages are given away and not answered."""
        return await self.pool.fetchval(ON_THE_WIRE, _name(process))

    async def _owns(self, process: Process) -> bool:
        assert process.handle.poll() is None, process.log.read_text("utf-8")[-2000:]
        return await self.pool.fetchval(OWNED, _name(process)) > 0


def _name(process: Process) -> str:
    """The end of what it calls itself."""
    return f"{process.handle.pid}-{process.port}"


async def is_ready(process: Process) -> bool:
    return await asyncio.to_thread(_is_ready, process)


def _is_ready(process: Process) -> bool:
    try:
        return process.ready()
    except httpx.TransportError:
        return False


async def _reached(process: Process, mark: Path) -> bool:
    """Its last act before it kills itself is to write the mark."""
    ended = process.handle.poll()
    if found := await asyncio.to_thread(mark.exists):
        return found
    assert ended is None, process.log.read_text("utf-8")[-2000:]
    return False


async def eventually(
    what: str, check: Callable[[], Awaitable[bool]], seconds: float = PATIENCE_SECONDS
) -> None:
    deadline = monotonic() + seconds
    while not await check():
        assert monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        await asyncio.sleep(LOOK_SECONDS)


@asynccontextmanager
async def senders(dsn: str, directory: Path, path: str, **more: str) -> AsyncGenerator[Senders]:
    """An empty installation, migrated, with nothing running yet. ``more`` are settings."""
    environment: dict[str, Any] = {
        "PATH": path,
        "HOME": str(directory),
        "CHAPPE_DATABASE_URL": dsn,
        "CHAPPE_ADMIN_TOKEN": TOKEN,
        "CHAPPE_SECRET_KEY": KEY,
        "CHAPPE_SHARDS": str(SHARDS),
        "CHAPPE_PUBLIC_URL": "https://mail.shop.example",
        **more,
    }
    chosen = {"kafka_bootstrap": "CHAPPE_KAFKA_BOOTSTRAP", "kafka_prefix": "CHAPPE_KAFKA_PREFIX"}
    given = {name: more[key] for name, key in chosen.items() if key in more}
    settings = Settings.model_validate({"shards": SHARDS, **given})
    async with open_pool(dsn, size=4) as pool:
        await migrate_everything(pool, find_roles())
        async with open_broker(settings, pool, exclusive=False) as broker:
            fleet = Processes(environment)
            try:
                yield Senders(fleet, Load(broker, pool), pool, directory)
            finally:
                fleet.close()
