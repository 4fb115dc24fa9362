import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import asyncpg
import msgspec
import pytest

from chappe.broker import Outgoing
from chappe.broker.memory import MemoryBroker
from chappe.clock import HandClock
from chappe.events import Event, RawRecord, Stream, decode_event, raw_key
from chappe.events.streams import EVENTS, EVENTS_BULK, RAW_BULK, RAW_COMMERCE
from chappe.ids import DEFAULT_WORKSPACE, partition_of
from chappe.shards import ShardRunner, unwrap, wrap
from chappe.tokens import Vault
from chappe_ingest.adapters.dead_letters import PostgresDeadLetters
from chappe_ingest.adapters.identities import PostgresIdentities
from chappe_ingest.adapters.identity_tables import FORGET_DELIVERIES, IdentityTables
from chappe_ingest.adapters.sources import Sources
from chappe_ingest.application.refs import find
from chappe_ingest.application.resolver import Resolver
from chappe_ingest.bootstrap import migrate
from tests.unit.ingest.shop import checkout, customer, order, raw, segment, shopify

pytestmark = pytest.mark.integration

PARTITIONS = 4
PATIENCE_SECONDS = 10


class World:
    """A resolver over Postgres and a log in memory."""

    def __init__(self, pool: asyncpg.Pool, clock: HandClock) -> None:
        self.pool = pool
        self.clock = clock
        self.broker = MemoryBroker(PARTITIONS)
        self._tasks: list[tuple[ShardRunner, asyncio.Task[None]]] = []

    def runner(self, me: str = "one") -> ShardRunner:
        sources = Sources(self.pool, Vault(b"0123456789abcdef"))
        return ShardRunner(
            Resolver(IdentityTables(Vault(b"0123456789abcdef").fingerprint), sources, PARTITIONS),
            broker=self.broker,
            pool=self.pool,
            clock=self.clock,
            me=me,
            lease=dt.timedelta(seconds=1),
            tick_seconds=0.1,
        )

    async def start(self, me: str = "one") -> ShardRunner:
        runner = self.runner(me)
        self._tasks.append((runner, asyncio.create_task(runner.run())))
        return runner

    async def stop(self) -> None:
        for runner, task in self._tasks:
            await runner.stop()
            await asyncio.wait([task], timeout=PATIENCE_SECONDS)
            task.result()
        self._tasks.clear()

    async def send(self, *deliveries: RawRecord, stream: Stream = RAW_COMMERCE) -> None:
        records: list[Outgoing] = []
        for each in deliveries:
            key = raw_key(each.source, each.headers.get("entity", each.source))
            body = wrap(msgspec.json.encode(each))
            records.append(Outgoing(partition_of(key, PARTITIONS), key, body))
        await self.broker.append(stream, records)

    def events(self, stream: Stream = EVENTS) -> list[Event]:
        """As a consumer sees them: a record relayed twice carries the same stamp."""
        relayed = [
            unwrap(record.value)
            for partition in range(PARTITIONS)
            for record in self.broker.log(stream, partition).slice(0, 10_000)
        ]
        return [decode_event(body) for body in dict(relayed).values()]

    async def settled(self, runner: ShardRunner) -> list[Event]:
        """The events once everything that was sent is applied and relayed."""

        async def at_rest() -> bool:
            return await runner.busy() is None

        await until(at_rest)
        return self.events()


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await check():
            await asyncio.sleep(0.01)


@pytest.fixture
async def world(pool: asyncpg.Pool, clock: HandClock) -> AsyncIterator[World]:
    await migrate(pool)
    world = World(pool, clock)
    yield world
    await world.stop()


def names(events: Sequence[Event]) -> list[str]:
    return sorted(event.name for event in events)


async def test_a_delivery_becomes_an_event_of_a_contact_on_its_partition(world: World) -> None:
    runner = await world.start()
    await world.send(shopify("checkouts/create", checkout("t1", "zoe@example.com")))
    (event,) = await world.settled(runner)
    assert event.name == "checkout.started"
    contact = await find(PostgresIdentities(world.pool), event.workspace, "email:zoe@example.com")
    assert event.contact == contact is not None
    record = world.broker.log(
        EVENTS, partition_of(f"default/{contact}".encode(), PARTITIONS)
    ).slice(0, 10)
    assert len(record) == 1


async def test_migrations_are_applied_once(world: World) -> None:
    assert await migrate(world.pool) == []


async def test_repeats_are_dropped_across_batches_and_restarts(world: World) -> None:
    first = shopify("orders/create", order(1, "zoe@example.com"), event_id="e")
    again = shopify("orders/create", order(1, "zoe@example.com"), event_id="e")
    replayed = shopify("orders/create", order(1, "zoe@example.com"), event_id="fresh")
    await world.start()
    await world.send(first)
    await until_events(world, 1)
    await world.stop()
    runner = await world.start("two")
    await world.send(first, again, replayed)
    assert names(await world.settled(runner)) == ["order.placed"]


async def until_events(world: World, count: int) -> None:
    async def enough() -> bool:
        return len(world.events()) >= count

    await until(enough)


async def test_an_order_before_its_checkout_completes_it_across_restarts(world: World) -> None:
    await world.start()
    await world.send(shopify("orders/create", order(1, "zoe@example.com", "t1")))
    await until_events(world, 1)
    await world.stop()
    runner = await world.start("two")
    await world.send(shopify("checkouts/update", checkout("t1")))
    events = {event.name: event for event in await world.settled(runner)}
    assert events["checkout.updated"].data["completed"] is True
    assert events["checkout.updated"].contact == events["order.placed"].contact


async def test_a_late_address_joins_and_the_order_of_a_known_person_is_copied(world: World) -> None:
    runner = await world.start()
    await world.send(
        shopify("checkouts/create", checkout("t1")),
        shopify("checkouts/update", checkout("t1", "zoe@example.com")),
        shopify("customers/create", customer(8, "max@example.com")),
        shopify("checkouts/create", checkout("t2")),
        shopify("orders/create", order(2, "max@example.com", "t2")),
    )
    events = await world.settled(runner)
    started = next(e for e in events if e.object and e.object.id == "t1")
    assert {e.contact for e in events if e.object and e.object.id == "t1"} == {started.contact}
    placed = [e for e in events if e.name == "order.placed"]
    assert sorted(e.flags.copy for e in placed) == [False, True]
    assert await world.pool.fetchval("SELECT count(*) FROM ingest.identity_conflict") == 2


async def test_a_delivery_nobody_can_read_is_a_dead_letter_with_the_reason(world: World) -> None:
    runner = await world.start()
    await world.pool.execute(
        """INSERT INTO ingest.source (id, workspace, kind, name, namespace, state, created_at)
           VALUES ('src_shop', 'default', 'shopify', 's', 's', 'active', now())"""
    )
    await world.send(
        shopify("orders/create", b"{"),
        shopify("checkouts/create", checkout("t1", "zoe@example.com")),
        raw("shopify", {}, headers={"x-shopify-topic": "orders/create", "paused": "1"}),
    )
    await world.broker.append(RAW_COMMERCE, [Outgoing(0, b"k", wrap(b'{"no":"record"}'))])
    assert names(await world.settled(runner)) == ["checkout.started"]
    rows = await PostgresDeadLetters(world.pool).page(DEFAULT_WORKSPACE, None, 10)
    reasons = sorted(row["reason"] for row in rows)
    assert [reason[:12] for reason in reasons] == ["no raw recor", "the body is ", "the source i"]
    assert {row["source"] for row in rows} == {"src_shop", None}


async def test_bulk_goes_to_the_bulk_stream(world: World) -> None:
    runner = await world.start()
    await world.send(shopify("customers/create", customer(7, "a@example.com")), stream=RAW_BULK)
    await world.settled(runner)
    assert names(world.events(EVENTS_BULK)) == ["contact.created"]
    assert world.events(EVENTS) == []


async def test_the_sources_domains_decide_which_links_go_on(world: World) -> None:
    runner = await world.start()
    await world.pool.execute(
        """INSERT INTO ingest.source
                  (id, workspace, kind, name, namespace, domains, state, created_at)
           VALUES ('src_shop', 'default', 'shopify', 's', 's', '{shop.example}', 'active',
                   now())"""
    )
    await world.send(
        shopify(
            "checkouts/create", checkout("t1", abandoned_checkout_url="https://www.shop.example/r")
        ),
        shopify(
            "checkouts/create", checkout("t2", abandoned_checkout_url="https://evil.example/r")
        ),
    )
    urls = {e.data["checkout_token"]: e.data["recovery_url"] for e in await world.settled(runner)}
    assert urls == {"t1": "https://www.shop.example/r", "t2": None}


async def test_a_restated_consent_keeps_its_first_time_across_restarts(world: World) -> None:
    def identify(minutes: int) -> RawRecord:
        body = {"userId": "u", "traits": {"consent": {"email": "subscribed"}}}
        when = world.clock.now() + dt.timedelta(minutes=minutes)
        return segment("identify", body, received_at=when)

    await world.start()
    await world.send(identify(0))
    await until_events(world, 1)
    await world.stop()
    runner = await world.start("two")
    await world.send(identify(30))
    events = await world.settled(runner)
    assert {e.traits["consent"]["email"]["at"] for e in events} == {"2026-11-22T09:00:00Z"}


async def test_two_processes_that_meet_the_same_people_agree(world: World) -> None:
    """Many deliveries of few people, spread over all partitions and two processes."""
    await world.start("one")
    await world.start("two")
    deliveries: list[RawRecord] = []
    for number in range(200):
        person = number % 5
        body = {
            "userId": f"u{person}",
            "anonymousId": f"a{number}",
            "traits": {"email": f"p{person}@example.com"},
            "messageId": f"m{number}",
        }
        given = segment("identify", body)
        headers = {**given.headers, "entity": f"a{number}"}
        deliveries.append(msgspec.structs.replace(given, headers=headers))
    for each in deliveries:
        await world.send(each)
    await until_events(world, 200)
    events = world.events()
    assert len(events) == len({event.id for event in events}) == 200
    assert len({event.contact for event in events}) == 5
    assert await world.pool.fetchval("SELECT count(*) FROM ingest.contact") == 5


async def test_a_record_the_database_refuses_stops_nobody_else(world: World) -> None:
    """Nothing of ours sends one; a NUL stands for what nobody has thought of."""
    runner = await world.start()
    hostile = raw("segment", {"userId": "u"}, headers={"call": "identify"})
    await world.send(
        msgspec.structs.replace(hostile, workspace="bad\u0000space"),
        segment("identify", {"userId": "good"}),
    )
    assert [e.identifier("external_id") for e in await world.settled(runner)] == ["good"]
    (row,) = await world.pool.fetch("SELECT reason FROM ingest.dead_letter")
    assert "database refuses" in row["reason"]


async def test_deliveries_are_forgotten_after_their_window(world: World) -> None:
    await world.pool.execute(
        """INSERT INTO ingest.delivery_seen (source, key, at)
           VALUES ('s', 'old', now() - interval '8 days'), ('s', 'new', now())"""
    )
    await world.pool.execute(FORGET_DELIVERIES, 7, 100)
    assert await world.pool.fetchval("SELECT key FROM ingest.delivery_seen") == "new"


async def test_identifiers_that_are_words_of_sql_are_only_values(world: World) -> None:
    runner = await world.start()
    hostile: Any = "x'); DROP TABLE ingest.contact; --"
    await world.send(segment("identify", {"userId": hostile}))
    (event,) = await world.settled(runner)
    assert event.identifier("external_id") == hostile
