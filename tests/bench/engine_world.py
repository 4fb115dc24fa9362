"""An orchestrator inside the bench's own process, and people who already wait in a journey."""

import asyncio
import datetime as dt
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
from cpu import parent, postgres_cpu
from typing_extensions import override

from chappe.broker import Outgoing
from chappe.broker.memory import MemoryBroker
from chappe.clock import BusinessClock
from chappe.events import EVENTS, Consent, ConsentState, Event, contact_key, encode_event
from chappe.events.streams import Stream
from chappe.ids import ContactId, EventId, SourceId, WorkspaceId, partition_of
from chappe.journey import canonical_json, read_journey
from chappe.shards import Batch, ShardRunner, wrap
from chappe_onebox.box.life import settle_memory
from chappe_orchestrator.adapters.definitions import PostgresDefinitions
from chappe_orchestrator.adapters.history import PostgresHistory
from chappe_orchestrator.adapters.store import PostgresStore
from chappe_orchestrator.application.library import Library
from chappe_orchestrator.application.ports import Changes, NewVersion
from chappe_orchestrator.application.processor import Journeying
from chappe_orchestrator.domain import Contact, Journeys, Profile, step

PARTITIONS = 64
DEFAULT = WorkspaceId("default")
SOURCE = SourceId("src_bench")
PATIENCE_SECONDS = 1_800
COPY_ROWS = 20_000

WAITING = """\
schema: 1
journey: waiting
title: {en: A mail whenever something moves}
trigger: {event: checkout.started}
entry: {key: event.checkout_token}
exit:
  - {event: order.placed, match: {event.checkout_token: entry.key}}
steps:
  - wait: {for: {event: custom.moved}, at_most: 30d}
    id: wait
  - send: {template: moved}
  - goto: wait
"""

OTHER = """\
schema: 1
journey: other-{n}
trigger:
  event: custom.other_{n}
  where: {{all: [{{event.total: {{at_least: "{n} EUR"}}}}, {{contact.city: "City {n}"}}]}}
exit: [{{event: custom.ended_{n}}}]
steps:
  - wait: {days}d
  - send: {{template: moved}}
"""

_encode = msgspec.json.Encoder(decimal_format="string").encode


def other(number: int) -> str:
    """A journey that listens to nothing that the bench sends."""
    return OTHER.format(n=number, days=1 + number % 30)


# -- measuring ----------------------------------------------------------------------------------


def resident_mb() -> float:
    """Of this process, now."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


@dataclass
class Cost:
    """What some inputs took. CPU says what they cost even while other work shares the cores."""

    count: int = 0
    seconds: float = 0.0
    python: float = 0.0
    postgres: float = 0.0

    def python_us(self) -> float:
        return self.python / self.count * 1e6

    def postgres_us(self) -> float:
        return self.postgres / self.count * 1e6

    def per_pair(self) -> float:
        """Per second of one Python core and one Postgres core, both kept busy."""
        return self.count / max(self.python, self.postgres)


@dataclass
class Seen:
    """What the commits have told so far."""

    inputs: int = 0
    timers: int = 0
    sends: int = 0
    ends: list[float] = field(default_factory=list[float])
    lateness: list[float] = field(default_factory=list[float])
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class _Store(PostgresStore):
    """Counts what is durable."""

    def __init__(self, pool: asyncpg.Pool, clock: BusinessClock, seen: Seen) -> None:
        super().__init__(pool)
        self._clock = clock
        self._seen = seen

    @override
    async def commit(self, batch: Batch, changes: Changes) -> None:
        await super().commit(batch, changes)
        now, seen = self._clock.now(), self._seen
        seen.inputs += len(batch.inputs)
        seen.ends.append(time.monotonic())
        for _, timer in changes.timers_gone:
            if timer.due_at <= changes.at:
                seen.timers += 1
                seen.lateness.append((now - timer.due_at).total_seconds())
        seen.changed.set()


class Sink(MemoryBroker):
    """Keeps what the orchestrator reads; what it writes is taken and let go."""

    @override
    async def append(self, stream: Stream, records: Sequence[Outgoing]) -> None:
        if stream == EVENTS:
            await super().append(stream, records)


@dataclass
class Engine:
    """A running orchestrator."""

    pool: asyncpg.Pool
    postmaster: int
    broker: Sink
    clock: BusinessClock
    seen: Seen
    runner: ShardRunner

    async def put(self, events: Iterable[Event]) -> int:
        records = [_record(event) for event in events]
        await self.broker.append(EVENTS, records)
        return len(records)

    async def until(self, done: Callable[[Seen], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not done(self.seen):
                self.seen.changed.clear()
                await self.seen.changed.wait()

    async def cost(self, count: int, done: Callable[[Seen], bool]) -> Cost:
        """What it takes from now until ``done``."""
        started, python = time.monotonic(), time.process_time()
        postgres = postgres_cpu(self.postmaster)
        await self.until(done)
        return Cost(
            count,
            time.monotonic() - started,
            time.process_time() - python,
            postgres_cpu(self.postmaster) - postgres,
        )

    async def drain(self, events: Iterable[Event]) -> Cost:
        """What these cost, all of them there before the first is read."""
        wanted = self.seen.inputs
        count = await self.put(events)
        return await self.cost(count, lambda seen: seen.inputs >= wanted + count)


@asynccontextmanager
async def engine(pool: asyncpg.Pool, clock: BusinessClock, broker: Sink) -> AsyncGenerator[Engine]:
    """Claim every shard; the log is in memory, so that its cost is not in the figures."""
    seen = Seen()

    def positions(shard: int) -> Mapping[Stream, int]:
        held = runner.owned.get(shard)
        return held.next_offsets if held else {}

    processor = Journeying(
        store=_Store(pool, clock, seen),
        library=Library(PostgresDefinitions(pool)),
        history=PostgresHistory(pool),
        partitions=PARTITIONS,
        positions=positions,
    )
    runner = ShardRunner(
        processor, broker=broker, pool=pool, clock=clock, me="bench", exclusive=True
    )
    backend = await pool.fetchval("SELECT pg_backend_pid()")
    running = asyncio.ensure_future(runner.run())
    while len(runner.owned) < PARTITIONS or not processor.has_loaded(runner.owned):
        await asyncio.sleep(0.05)
        if running.done():
            running.result()
    settle_memory()
    try:
        yield Engine(pool, parent(backend), broker, clock, seen, runner)
    finally:
        await runner.stop()
        await running


async def publish(pool: asyncpg.Pool, texts: Iterable[str], now: dt.datetime) -> None:
    """In one transaction, with every template pinned."""
    journeys = [read_journey(text) for text in texts]
    pinned = _encode({"moved": {"version": "moved@1", "class": "marketing", "topic": "offers"}})
    versions = [NewVersion(one.journey, canonical_json(one), pinned) for one in journeys]
    await PostgresDefinitions(pool).publish(DEFAULT, versions, now)


# -- events -------------------------------------------------------------------------------------


def _record(event: Event) -> Outgoing:
    assert event.contact is not None
    key = contact_key(DEFAULT, event.contact)
    return Outgoing(partition_of(key, PARTITIONS), key, wrap(encode_event(event)))


def event(name: str, number: int, contact: ContactId, now: dt.datetime) -> Event:
    """About 700 bytes as it stands in the log."""
    item = {
        "product_id": f"p_{number % 997}",
        "sku": f"SKU-{number % 997:06}",
        "title": "A lamp of turned oak, with a shade of linen",
        "quantity": 1,
        "price": {"amount": "59.00", "currency": "EUR"},
        "url": f"https://shop.example/products/lamp-{number % 997}?variant=oak",
        "image_url": f"https://cdn.shop.example/images/lamp-{number % 997}-800x800.jpg",
    }
    return Event(
        id=EventId(f"e_{number:016x}"),
        name=name,
        workspace=DEFAULT,
        source=SOURCE,
        occurred_at=now,
        received_at=now,
        contact=contact,
        data={"total": {"amount": "59.00", "currency": "EUR"}, "items": [item]},
    )


def contact_of(number: int) -> ContactId:
    return ContactId(f"c_{number:016x}")


# -- people -------------------------------------------------------------------------------------


async def seed(
    pool: asyncpg.Pool,
    journeys: Journeys,
    numbers: range,
    now: dt.datetime,
    due_at: Callable[[int], dt.datetime] | None = None,
) -> None:
    """Let contacts enter ``waiting``, as the engine itself would have written them.

    ``due_at`` moves the end of each one's wait.
    """
    for at in range(0, len(numbers), COPY_ROWS):
        part = numbers[at : at + COPY_ROWS]
        rows = [_enter(journeys, number, now, due_at) for number in part]
        for table, columns in _COLUMNS.items():
            records = [row[table] for row in rows]
            await pool.copy_records_to_table(
                table, schema_name="orchestrator", columns=columns, records=records
            )
    for table in _COLUMNS:
        await pool.execute(f"VACUUM ANALYZE orchestrator.{table}")
    await pool.execute("CHECKPOINT")


_COLUMNS = {
    "profile": ["shard", "contact", "workspace", "doc"],
    "enrollment": [
        "shard", "contact", "id", "workspace", "journey", "version", "key", "step", "status",
        "held", "token", "due_at", "entered_at", "doc",
    ],
    "journey_key": ["shard", "contact", "journey", "value", "entered_at", "enrollment"],
    "timer": ["shard", "due_at", "subject_kind", "subject_id", "token", "contact"],
}  # fmt: skip


def _enter(
    journeys: Journeys,
    number: int,
    now: dt.datetime,
    due_at: Callable[[int], dt.datetime] | None,
) -> dict[str, tuple[Any, ...]]:
    contact = contact_of(number)
    shard = partition_of(contact_key(DEFAULT, contact), PARTITIONS)
    begun = event("checkout.started", number, contact, now)
    begun.data["checkout_token"] = f"token-{number}"
    state, _ = step(
        Contact(id=contact, workspace=DEFAULT, profile=_profile(number, now)),
        [begun],
        now=now,
        journeys=journeys,
    )
    (one,) = state.enrollments.values()
    if due_at is not None:
        one.due_at = due_at(number)
    ((key, mark),) = state.keys.items()
    return {
        "profile": (shard, contact, DEFAULT, _encode(state.profile)),
        "enrollment": (
            shard, contact, one.id, DEFAULT, one.journey, one.version, one.key, one.step,
            one.status, one.held, one.token, one.due_at, one.entered_at, _encode(one),
        ),
        "journey_key": (shard, contact, key.journey, key.value, mark.entered_at, mark.enrollment),
        "timer": (shard, one.due_at, 1, one.id, one.token, contact),
    }  # fmt: skip


def _profile(number: int, now: dt.datetime) -> Profile:
    return Profile(
        traits={"first_name": "Zoé", "city": "Lyon", "locale": "fr-FR", "plan": "pro"},
        identifiers={"email": [f"user-{number}@bench.example"], "external_id": [f"shop:{number}"]},
        consent={"email": Consent(state=ConsentState.SUBSCRIBED, at=now)},
        tags=["newsletter"],
    )


def mixed(first: int, count: int, people: int, now: dt.datetime) -> Iterator[Event]:
    """Three in ten move their contact on."""
    for number in range(first, first + count):
        name = "custom.moved" if number % 10 < 3 else "page.viewed"
        # A large odd stride: neighbours in the log are strangers.
        yield event(name, number, contact_of(number * 48_271 % people), now)


async def published(pool: asyncpg.Pool) -> Journeys:
    """The journeys as the engine sees them."""
    library = Library(PostgresDefinitions(pool))
    await library.reload()
    return library.of(DEFAULT)
