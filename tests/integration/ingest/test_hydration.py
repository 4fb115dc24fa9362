"""Deliveries of ids become whole facts, whatever the shop's API does meanwhile."""

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import msgspec
import pytest
from typing_extensions import override

from chappe.broker import Outgoing
from chappe.broker.memory import MemoryBroker
from chappe.clock import HandClock
from chappe.events import EVENTS, RAW_COMMERCE, Event, RawRecord, decode_event, raw_key
from chappe.http import Outbound
from chappe.ids import DEFAULT_WORKSPACE, SourceId, partition_of
from chappe.shards import ShardRunner, unwrap, wrap
from chappe.tokens import Vault
from chappe_ingest.adapters.hydration_shops import VendorApis
from chappe_ingest.adapters.hydrations import PostgresHydrations
from chappe_ingest.adapters.identity_tables import IdentityTables
from chappe_ingest.adapters.sources import Sources
from chappe_ingest.application.hydrating import LEASE, Hydrator
from chappe_ingest.application.hydration import PATIENCE, Asking
from chappe_ingest.application.resolver import Resolver
from chappe_ingest.bootstrap import migrate
from chappe_ingest.domain.source import Source, SourceState
from chappe_ingest.domain.sources import REGISTRY
from tests.fakes.playing import played
from tests.fakes.thin_shops import BIGCOMMERCE_TOKEN, SHOPWARE_TOKEN, STRIPE_TOKEN, ThinShops
from tests.unit.ingest.shop import NOW, raw

pytestmark = pytest.mark.integration

VAULT = Vault(b"0123456789abcdef")
PARTITIONS = 4
PATIENCE_SECONDS = 10
TOKENS = {
    "bigcommerce": BIGCOMMERCE_TOKEN,
    "stripe": STRIPE_TOKEN,
    "shopware": SHOPWARE_TOKEN,
}
ORDER = "v2/orders/250"
ORDER_ASKED = f"{ORDER}?include=consignments.line_items"


@dataclass
class Place:
    """A resolver with hydrators beside it, over Postgres, a log in memory and a fake shop."""

    pool: asyncpg.Pool
    wall: HandClock
    broker: MemoryBroker
    sources: Sources
    shop: ThinShops
    address: str
    outbound: Outbound
    hydrators: list[Hydrator] = field(default_factory=list[Hydrator])
    runner: ShardRunner | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    async def source(self, kind: str = "bigcommerce", **fields: Any) -> Source:
        source = Source(
            id=SourceId(fields.get("id", "src_1")),
            workspace=DEFAULT_WORKSPACE,
            kind=kind,
            name=fields.get("name", "atelier"),
            namespace="atelier",
            domains=("atelier.example",),
            state=SourceState.ACTIVE,
            config={"loopback": fields.get("address", self.address)},
            created_at=NOW,
        )
        await self.sources.add(source)
        await self.sources.set_api_token(source.id, fields.get("token", TOKENS[kind]))
        return source

    def hydrator(self, store: Any = None) -> Hydrator:
        made = Hydrator(
            hydrations=store or PostgresHydrations(self.pool),
            shops=VendorApis(self.outbound, self.sources.access, self.wall, loopback=True),
            broker=self.broker,
            wall=self.wall,
            spread=lambda: 0.0,
        )
        self.hydrators.append(made)
        return made

    def start(self, *hydrators: Hydrator) -> None:
        first = hydrators[0] if hydrators else self.hydrator()
        self.runner = ShardRunner(
            Resolver(IdentityTables(VAULT.fingerprint), self.sources, PARTITIONS, asked=first.wake),
            broker=self.broker,
            pool=self.pool,
            clock=self.wall,
            me="one",
            tick_seconds=0.1,
        )
        self.tasks += [asyncio.create_task(each.run()) for each in hydrators or (first,)]
        self.tasks.append(asyncio.create_task(self.runner.run()))

    async def stop(self) -> None:
        self.shop.slow.set()
        for each in self.hydrators:
            await each.stop()
        if self.runner is not None:
            await self.runner.stop()
        for task in self.tasks:
            await asyncio.wait_for(task, PATIENCE_SECONDS)

    async def hears(self, source: Source, body: Any, **fields: Any) -> RawRecord:
        """As the door passes a verified delivery on."""
        content = json.dumps(body).encode()
        given: dict[str, Any] = {"source": source.id, "namespace": "atelier"} | fields
        record = raw(source.kind, content, headers={}, **given)
        entity = REGISTRY[source.kind].entity(content, [])
        key = raw_key(source.id, entity or record.id)
        sent = Outgoing(partition_of(key, PARTITIONS), key, wrap(msgspec.json.encode(record)))
        await self.broker.append(RAW_COMMERCE, [sent])
        return record

    async def later(self, by: dt.timedelta) -> None:
        self.wall.advance(by)
        for each in self.hydrators:
            each.wake()

    def events(self) -> list[Event]:
        relayed = [
            unwrap(record.value)
            for partition in range(PARTITIONS)
            for record in self.broker.log(EVENTS, partition).slice(0, 10_000)
        ]
        return [decode_event(body) for body in dict(relayed).values()]

    async def waiting(self) -> int:
        count: int = await self.pool.fetchval("SELECT count(*) FROM ingest.hydration")
        return count

    async def rested(self) -> list[Event]:
        """The events once nothing waits any more, neither for the shop nor in the log."""

        async def at_rest() -> bool:
            assert self.runner is not None
            return await self.runner.busy() is None and await self.waiting() == 0

        await until(at_rest)
        await until(at_rest)
        return self.events()

    async def runner_is_idle(self) -> None:
        assert self.runner is not None
        runner = self.runner

        async def idle() -> bool:
            return await runner.busy() is None

        await until(idle)

    async def put_off(self, attempts: int = 1) -> None:
        """Until the shop has given no answer so often."""

        async def tried() -> bool:
            row = await self.pool.fetchrow(
                "SELECT attempts, next_at > $1 AS off FROM ingest.hydration ORDER BY number",
                self.wall.now(),
            )
            busy = [await each.busy() for each in self.hydrators]
            off = row is not None and row["attempts"] >= attempts and row["off"]
            return off and not any(busy)

        await until(tried)


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await check():
            await asyncio.sleep(0.01)


@pytest.fixture
async def place(pool: asyncpg.Pool, clock: HandClock) -> AsyncIterator[Place]:
    await migrate(pool)
    shop = ThinShops()
    outbound = Outbound(allow_loopback=True)
    async with played(shop.app()) as address:
        place = Place(
            pool=pool,
            wall=clock,
            broker=MemoryBroker(PARTITIONS),
            sources=Sources(pool, VAULT),
            shop=shop,
            address=address,
            outbound=outbound,
        )
        yield place
        await place.stop()
        await outbound.aclose()


def notice(scope: str = "store/order/updated", number: Any = 250, minute: int = 0) -> Any:
    return {
        "scope": scope,
        "data": {"type": "order", "id": number},
        "hash": f"{scope} {number} {minute}",
        "created_at": int(NOW.timestamp()) - 600 + minute * 60,
        "producer": "stores/somebody-else",
    }


def bought(status: int = 11, **fields: Any) -> dict[str, Any]:
    return {
        "id": 250,
        "customer_id": 32,
        "status_id": status,
        "date_created": "Sun, 22 Nov 2026 08:30:00 +0000",
        "date_modified": "Sun, 22 Nov 2026 08:40:00 +0000",
        "total_inc_tax": "84.5000",
        "currency_code": "EUR",
        "billing_address": {"email": "zoe@example.com", "first_name": "Zoé"},
    } | fields


def names(events: Sequence[Event]) -> list[str]:
    return sorted(event.name for event in events)


def buyers(events: Sequence[Event]) -> set[str]:
    return {each.value for event in events for each in event.identifiers if each.type == "email"}


async def test_a_notice_of_an_order_becomes_the_order_with_its_buyer(place: Place) -> None:
    place.shop.documents[ORDER] = bought()
    place.start()
    delivered = await place.hears(await place.source(), notice())
    events = await place.rested()
    assert names(events) == ["order.placed", "order.updated"]
    assert buyers(events) == {"zoe@example.com"}
    assert {event.received_at for event in events} == {delivered.received_at}
    assert place.shop.asked == [ORDER_ASKED]


async def test_a_checkout_s_items_are_asked_of_stripe(place: Place) -> None:
    session = {
        "id": "cs_test_1",
        "object": "checkout.session",
        "payment_intent": "pi_1",
        "payment_status": "paid",
        "amount_total": 1900,
        "currency": "eur",
        "customer_details": {"email": "zoe@example.com"},
    }
    line = {"description": "Lampe", "quantity": 2, "amount_total": 1900, "price": {"id": "price_1"}}
    answer = session | {"payment_status": "unpaid", "line_items": {"data": [line]}}
    place.shop.documents["v1/checkout/sessions/cs_test_1"] = answer
    place.start()
    source = await place.source("stripe")
    happened = {
        "id": "evt_1",
        "type": "checkout.session.completed",
        "created": int(NOW.timestamp()) - 60,
        "livemode": True,
        "data": {"object": session},
    }
    await place.hears(source, happened)
    (placed,) = await place.rested()
    assert placed.name == "order.placed"
    assert [each["title"] for each in placed.data["items"]] == ["Lampe"]
    assert place.shop.headers[0]["stripe-version"]


async def test_a_subscription_s_customer_is_asked_of_stripe(place: Place) -> None:
    place.shop.documents["v1/customers/cus_1"] = {
        "id": "cus_1",
        "object": "customer",
        "email": "zoe@example.com",
    }
    place.start()
    happened = {
        "id": "evt_1",
        "type": "customer.subscription.created",
        "created": int(NOW.timestamp()) - 60,
        "livemode": True,
        "data": {"object": {"id": "sub_1", "object": "subscription", "customer": "cus_1"}},
    }
    await place.hears(await place.source("stripe"), happened)
    events = await place.rested()
    assert names(events) == ["subscription.created"]
    assert buyers(events) == {"zoe@example.com"}


def written(kind: str, *numbers: str) -> dict[str, Any]:
    rows = [{"entity": kind, "operation": "update", "primaryKey": each} for each in numbers]
    return {
        "data": {"payload": rows, "event": f"{kind}.written"},
        "source": {"eventId": f"event {' '.join(numbers)}"},
        "timestamp": int(NOW.timestamp()) - 60,
    }


def shopware_order(number: str) -> dict[str, Any]:
    return {
        "id": number,
        "orderNumber": "10001",
        "amountTotal": 84.5,
        "orderDateTime": "2026-11-22T08:30:00.000+00:00",
        "currency": {"isoCode": "EUR"},
        "orderCustomer": {"email": "zoe@example.com", "customerId": "c" * 32},
        "lineItems": [],
        "transactions": [{"stateMachineState": {"technicalName": "paid"}}],
    }


async def test_written_orders_are_asked_of_shopware_in_one_question(place: Place) -> None:
    there, gone = "a" * 32, "b" * 32
    place.shop.entities["order"] = [shopware_order(there)]
    place.start()
    await place.hears(await place.source("shopware"), written("order", there, gone, "'; drop"))
    events = await place.rested()
    assert names(events) == ["order.paid", "order.placed", *["order.updated"] * 3]
    assert buyers(events) == {"zoe@example.com"}
    assert [each["ids"] for each in place.shop.sought] == [[there, gone]]


async def test_shopware_s_token_is_used_until_it_is_refused(place: Place) -> None:
    place.shop.entities["order"] = [shopware_order("a" * 32), shopware_order("b" * 32)]
    place.start()
    source = await place.source("shopware")
    await place.hears(source, written("order", "a" * 32))
    await place.rested()
    await place.hears(source, written("order", "b" * 32))
    await place.rested()
    assert len(place.shop.bearers) == 1
    place.shop.bearers.append("somebody else's")
    await place.hears(source, written("order", "b" * 32, "a" * 32))
    await place.rested()
    assert len(place.shop.bearers) == 3


async def test_without_a_token_the_ids_are_told_at_once(place: Place) -> None:
    place.start()
    await place.hears(await place.source(token=None), notice())
    assert names(await place.rested()) == ["order.updated"]
    assert place.shop.asked == []


async def test_what_nobody_verified_asks_nobody(place: Place) -> None:
    place.start()
    await place.hears(await place.source(), notice(), verified=False)
    assert names(await place.rested()) == ["order.updated"]
    assert place.shop.asked == []


async def test_a_retried_webhook_asks_once(place: Place) -> None:
    place.shop.documents[ORDER] = bought()
    place.start()
    source = await place.source()
    for _ in range(3):
        await place.hears(source, notice())
    events = await place.rested()
    assert names(events) == ["order.placed", "order.updated"]
    assert place.shop.asked == [ORDER_ASKED]


async def test_what_a_delivery_says_of_its_shop_does_not_say_whom_we_ask(place: Place) -> None:
    place.shop.documents[ORDER] = bought()
    place.start()
    await place.hears(await place.source(), notice() | {"producer": "stores/../../evil.example"})
    assert buyers(await place.rested()) == {"zoe@example.com"}


@pytest.mark.parametrize("number", ["../customers", "250?x=", "250/../../v3/hooks", {"a": 1}])
async def test_an_id_that_is_no_id_is_not_asked_for(place: Place, number: Any) -> None:
    place.start()
    await place.hears(await place.source(), notice(number=number))
    await place.rested()
    assert place.shop.asked == []


async def test_a_thing_that_is_gone_is_told_with_its_ids(place: Place) -> None:
    place.start()
    await place.hears(await place.source(), notice())
    assert names(await place.rested()) == ["order.updated"]


@pytest.mark.parametrize("trouble", ["huge", "html", "422"])
async def test_an_answer_of_no_use_leaves_the_ids(place: Place, trouble: str) -> None:
    place.shop.documents[ORDER] = bought()
    place.shop.troubles.append(trouble)
    place.start()
    await place.hears(await place.source(), notice())
    assert names(await place.rested()) == ["order.updated"]
    assert len(place.shop.asked) == 1


@pytest.mark.parametrize("trouble", ["500", "503", "429"])
async def test_a_shop_in_trouble_is_asked_again(place: Place, trouble: str) -> None:
    place.shop.documents[ORDER] = bought()
    place.shop.troubles.append(trouble)
    place.start()
    await place.hears(await place.source(), notice())
    await place.put_off()
    assert place.events() == []
    await place.later(dt.timedelta(seconds=2))
    assert buyers(await place.rested()) == {"zoe@example.com"}


async def test_a_shop_is_left_alone_for_as_long_as_it_asks(place: Place) -> None:
    place.shop.documents[ORDER] = bought()
    place.shop.documents["v2/orders/251"] = bought(id=251)
    place.shop.troubles.append("429")
    place.shop.retry_after = "120"
    place.start()
    source = await place.source()
    await place.hears(source, notice())
    await place.put_off()
    await place.hears(source, notice(number=251))
    await place.later(dt.timedelta(seconds=119))
    await place.runner_is_idle()
    assert len(place.shop.asked) == 1
    await place.later(dt.timedelta(seconds=1))
    await place.rested()
    assert len(place.shop.asked) == 3


async def test_a_redirect_is_not_followed_and_waits_for_an_operator(place: Place) -> None:
    place.shop.documents[ORDER] = bought()
    place.shop.troubles.append("redirect")
    place.start()
    await place.hears(await place.source(), notice())
    await place.put_off()
    await place.later(dt.timedelta(minutes=5))
    assert buyers(await place.rested()) == {"zoe@example.com"}
    assert place.shop.asked == [ORDER_ASKED] * 2


async def test_a_new_token_mends_what_the_old_one_could_not_read(place: Place) -> None:
    place.shop.documents[ORDER] = bought()
    place.start()
    source = await place.source(token="abc123:stale")
    await place.hears(source, notice())
    await place.put_off()
    (said,) = await place.sources.all()
    assert said.note == "API: the shop refuses the API token (401): set another"
    await place.sources.set_api_token(source.id, BIGCOMMERCE_TOKEN)
    await place.later(dt.timedelta(minutes=5))
    assert buyers(await place.rested()) == {"zoe@example.com"}

    async def well_again() -> bool:
        return (await place.sources.all())[0].note is None

    await until(well_again)


async def test_a_shop_that_never_answers_costs_the_facts_some_hours_and_not_the_facts(
    place: Place,
) -> None:
    place.shop.troubles += ["500"] * 20
    place.start()
    await place.hears(await place.source(), notice())
    for attempt in range(1, 5):
        await place.put_off(attempt)
        await place.later(PATIENCE)
    assert names(await place.rested()) == ["order.updated"]
    assert len(place.shop.asked) == 5


async def test_a_token_taken_away_lets_what_waits_go(place: Place) -> None:
    place.shop.troubles.append("500")
    place.start()
    source = await place.source()
    await place.hears(source, notice())
    await place.put_off()
    await place.sources.set_api_token(source.id, None)
    await place.later(dt.timedelta(minutes=5))
    assert names(await place.rested()) == ["order.updated"]


async def test_a_slow_shop_holds_up_no_other(place: Place) -> None:
    place.shop.troubles += ["slow"]
    place.start()
    slow = await place.source()
    await place.hears(slow, notice(number=1))
    await asyncio.wait_for(place.shop.began.wait(), PATIENCE_SECONDS)
    quick = ThinShops(documents={ORDER: bought()})
    async with played(quick.app()) as address:
        other = await place.source(id="src_2", name="second", address=address)
        await place.hears(other, notice())

        async def told() -> bool:
            return buyers(place.events()) == {"zoe@example.com"}

        await until(told)
        assert await place.waiting() == 1
        place.shop.slow.set()
        await place.rested()


async def test_deliveries_about_one_thing_come_back_in_their_order(place: Place) -> None:
    place.shop.documents[ORDER] = bought()
    place.shop.troubles.append("500")
    place.start()
    source = await place.source()
    for minute in range(3):
        await place.hears(source, notice(minute=minute))
    await place.put_off()
    assert len(place.shop.asked) == 1
    await place.later(dt.timedelta(seconds=2))
    events = await place.rested()
    assert names(events) == ["order.placed", *["order.updated"] * 3]


class Forgetful(PostgresHydrations):
    """Its process dies between the log's acknowledgement and its own commit."""

    @override
    async def done(self, asked: Asking) -> None:
        raise ConnectionResetError("the process died here")


async def test_a_crash_after_the_append_doubles_nothing(place: Place) -> None:
    place.shop.documents[ORDER] = bought()
    place.start(place.hydrator(Forgetful(place.pool)))
    await place.hears(await place.source(), notice())

    async def told() -> bool:
        return len(place.events()) >= 2

    await until(told)
    assert await place.waiting() == 1
    after = place.hydrator()
    place.tasks.append(asyncio.create_task(after.run()))
    await place.later(LEASE)
    events = await place.rested()
    assert names(events) == ["order.placed", "order.updated"]
    assert len(place.shop.asked) == 2


async def test_two_workers_ask_for_each_delivery_once(place: Place) -> None:
    numbers = [str(number) for number in range(300, 320)]
    for number in numbers:
        place.shop.documents[f"v2/orders/{number}"] = bought(id=int(number))
    one, two = place.hydrator(), place.hydrator()
    source = await place.source("bigcommerce")
    for number in numbers:
        await place.hears(source, notice(number=int(number)))
    place.start(one, two)
    events = await place.rested()
    assert names(events).count("order.placed") == len(numbers)
    assert sorted(place.shop.asked) == sorted(set(place.shop.asked))
