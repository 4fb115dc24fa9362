"""Pollers, backfills and the way back to the shop: over Postgres, a log, and shops on loopback."""

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
import pytest

from chappe.broker import BrokerUnavailable
from chappe.broker.memory import MemoryBroker
from chappe.clock import HandClock
from chappe.events import Event, Stream, decode_event
from chappe.events.streams import EVENTS, EVENTS_BULK
from chappe.http import Outbound, create_app, require_token
from chappe.ids import DEFAULT_WORKSPACE, ContactId, SourceId, random_id
from chappe.shards import ShardRunner, unwrap
from chappe.tokens import Vault
from chappe_ingest.adapters.identity_tables import IdentityTables
from chappe_ingest.adapters.pulls import PostgresPulls
from chappe_ingest.adapters.pulls_write_back import PostgresQueue, PullReports
from chappe_ingest.adapters.shops import OpenShops, addresses
from chappe_ingest.adapters.sources import Sources
from chappe_ingest.application.inlet import Delivered, Inlet
from chappe_ingest.application.pulling import Puller
from chappe_ingest.application.resolver import Resolver
from chappe_ingest.application.write_back import WriteBacks
from chappe_ingest.bootstrap import migrate
from chappe_ingest.domain.source import Source, SourceState
from chappe_ingest.domain.sources import REGISTRY
from chappe_ingest.entrypoints import pulls_api
from tests.fakes import shopify_shop, woo_shop
from tests.fakes.playing import played
from tests.unit.ingest.shop import NOW, at, checkout, customer, order

pytestmark = pytest.mark.integration

PARTITIONS = 4
PATIENCE_SECONDS = 10
TOKEN = "admin-token"


@dataclass
class Place:
    """A resolver, a puller that takes a turn when told to, and the API."""

    pool: asyncpg.Pool
    business: HandClock
    wall: HandClock
    broker: MemoryBroker
    sources: Sources
    runner: ShardRunner
    puller: Puller
    inlet: Inlet
    api: httpx.AsyncClient
    slept: list[float] = field(default_factory=list)

    async def source(self, kind: str, address: str, **fields: Any) -> Source:
        token = shopify_shop.TOKEN if kind == "shopify" else woo_shop.KEYS
        host = "atelier.myshopify.com" if kind == "shopify" else "atelier.example"
        source = Source(
            id=SourceId(fields.get("id", "src_1")),
            workspace=DEFAULT_WORKSPACE,
            kind=kind,
            name=fields.get("name", "atelier"),
            namespace=fields.get("namespace", "atelier"),
            domains=(host,),
            state=SourceState.ACTIVE,
            config={"loopback": address},
            created_at=NOW - dt.timedelta(days=30),
        )
        await self.sources.add(source)
        await self.sources.set_api_token(source.id, fields.get("token", token))
        return source

    async def turn(self, me: str = "one 0") -> bool:
        return await self.puller.turn(me)

    async def later(self, **by: float) -> None:
        self.business.advance(dt.timedelta(**by))
        self.wall.advance(dt.timedelta(**by))

    async def poll(self) -> None:
        """Time passes, and whatever is due is done."""
        await self.later(minutes=7)
        assert await self.turn()

    async def webhook(self, source: Source, topic: str, body: Any, **headers: str) -> None:
        """As the door passes a verified delivery on."""
        kind = REGISTRY[source.kind]
        content = json.dumps(body).encode()
        name = "x-shopify-topic" if source.kind == "shopify" else "x-wc-webhook-topic"
        kept = {name: topic, **headers}
        entity = kind.entity(content, list(kept.items()))
        await self.inlet.take(
            source, [Delivered(headers=kept, body=content, entity=entity, verified=True)]
        )

    async def rest(self) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self.runner.busy() is not None:
                await asyncio.sleep(0.01)

    async def events(self, stream: Stream = EVENTS) -> list[Event]:
        await self.rest()
        return [
            decode_event(unwrap(record.value)[1])
            for partition in range(PARTITIONS)
            for record in self.broker.log(stream, partition).slice(0, 10_000)
        ]

    async def bulk(self) -> list[Event]:
        return await self.events(EVENTS_BULK)

    async def unsubscribe(
        self, contact: ContactId, name: str = "email.unsubscribed", **fields: Any
    ) -> None:
        """As our link's page does."""
        now = self.business.now()
        event = Event(
            id=random_id("e_"),  # type: ignore[arg-type]
            name=name,
            workspace=DEFAULT_WORKSPACE,
            occurred_at=now,
            received_at=now,
            contact=contact,
            **fields,
        )
        await self.inlet.event(event)
        await self.rest()

    async def request(self, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return await self.api.request(method, path, json=body, headers=headers)

    async def backfill(self, since: str) -> dict[str, Any]:
        answer = await self.request("POST", "/api/v1/sources/atelier/backfill", {"since": since})
        assert answer.status_code == 202, answer.text
        return answer.json()

    async def job(self) -> dict[str, Any]:
        return (await self.request("GET", "/api/v1/sources/atelier/backfill")).json()

    async def row(self, query: str, *arguments: Any) -> asyncpg.Record:
        found = await self.pool.fetchrow(query, *arguments)
        assert found is not None
        return found


@pytest.fixture
async def place(pool: asyncpg.Pool, clock: HandClock) -> AsyncIterator[Place]:
    await migrate(pool)
    broker = MemoryBroker(PARTITIONS)
    wall = HandClock(clock.now())
    vault = Vault(b"k" * 32)
    sources = Sources(pool, vault)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async with AsyncExitStack() as stack:
        outbound = Outbound(allow_loopback=True, timeout_seconds=5)
        stack.push_async_callback(outbound.aclose)
        inlet = Inlet(broker=broker, business=clock, wall=wall, new_id=random_id)
        pulls = PostgresPulls(pool, sources)
        puller = Puller(
            pulls=pulls,
            shops=OpenShops(outbound, sources.api_token, addresses(loopback=True)),
            inlet=inlet,
            write_backs=WriteBacks(pulls=pulls, wall=wall),
            business=clock,
            wall=wall,
            me="one",
            sleep=sleep,
        )
        runner = ShardRunner(
            Resolver(
                IdentityTables(vault.fingerprint),
                sources,
                PARTITIONS,
                write_backs=PostgresQueue(wall),
            ),
            broker=broker,
            pool=pool,
            clock=clock,
            me="one",
            exclusive=True,
        )
        app = create_app("ingest", checks={}, distribution="chappe-ingest")
        desk = pulls_api.PullsDesk(
            store=sources,
            jobs=pulls,
            reports=PullReports(pool),
            business=clock,
            wall=wall,
            new_id=random_id,
        )
        app.include_router(pulls_api.routes(desk, require_token(TOKEN)))
        api = await stack.enter_async_context(
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ingest.test")
        )
        task = asyncio.create_task(runner.run())
        yield Place(pool, clock, wall, broker, sources, runner, puller, inlet, api, slept)
        await runner.stop()
        await asyncio.wait([task], timeout=PATIENCE_SECONDS)
        task.result()


@pytest.fixture
async def shop() -> AsyncIterator[tuple[shopify_shop.ShopifyShop, str]]:
    shop = shopify_shop.ShopifyShop()
    async with played(shop.app()) as address:
        yield shop, address


@pytest.fixture
async def woo() -> AsyncIterator[tuple[woo_shop.WooShop, str]]:
    shop = woo_shop.WooShop()
    async with played(shop.app()) as address:
        yield shop, address


Shop = tuple[shopify_shop.ShopifyShop, str]
Woo = tuple[woo_shop.WooShop, str]


def names(events: list[Event]) -> list[str]:
    return sorted(event.name for event in events)


def person(number: int, email: str, **fields: Any) -> dict[str, Any]:
    times = {"created_at": at(-2), "updated_at": at(-1)}
    return customer(number, email) | times | fields


def woo_order(number: int, email: str, minutes: float = -1, **fields: Any) -> dict[str, Any]:
    fixed: dict[str, Any] = {
        "id": number,
        "number": str(number),
        "status": "processing",
        "currency": "EUR",
        "total": "49.90",
        "customer_id": 0,
        "billing": {"email": email, "first_name": "Léa"},
        "line_items": [],
        "refunds": [],
        "date_created_gmt": at(minutes - 1)[:-1],
        "date_modified_gmt": at(minutes)[:-1],
        "date_paid_gmt": None,
        "date_completed_gmt": None,
    }
    return fixed | fields


# -- reconciliation ------------------------------------------------------------


async def test_an_order_whose_webhook_was_lost_is_filled_in_once_and_is_no_history(
    place: Place, shop: Shop
) -> None:
    fake, address = shop
    await place.source("shopify", address)
    fake.orders.append(order(1, "zoe@example.com", "t1"))
    await place.turn()
    await place.poll()
    found = await place.bulk()
    assert names(found) == ["order.placed", "order.updated"]
    assert not any(event.flags.historical or event.flags.unverified for event in found)
    assert found[0].identifier("checkout_token") == "t1"
    assert await place.events() == []


async def test_what_webhooks_brought_is_not_told_again(place: Place, shop: Shop) -> None:
    fake, address = shop
    source = await place.source("shopify", address)
    fake.orders.append(order(1, "zoe@example.com"))
    fake.customers.append(person(7, "zoe@example.com"))
    await place.webhook(source, "orders/create", fake.orders[0])
    await place.webhook(source, "customers/create", fake.customers[0])
    await place.rest()
    await place.turn()
    assert names(await place.events()) == ["contact.created", "order.placed"]
    assert await place.bulk() == []


async def test_a_webhook_that_comes_after_the_poll_is_no_news(place: Place, shop: Shop) -> None:
    fake, address = shop
    source = await place.source("shopify", address)
    fake.orders.append(order(1, "zoe@example.com"))
    await place.turn()
    await place.rest()
    await place.webhook(source, "orders/create", fake.orders[0])
    await place.webhook(source, "orders/updated", fake.orders[0])
    assert await place.events() == []
    assert names(await place.bulk()) == ["order.placed", "order.updated"]


async def test_a_payment_that_was_missed_is_told_and_the_order_is_not_placed_twice(
    place: Place, shop: Shop
) -> None:
    fake, address = shop
    source = await place.source("shopify", address)
    await place.webhook(source, "orders/create", order(1, "zoe@example.com"))
    await place.rest()
    fake.orders.append(order(1, "zoe@example.com", financial_status="paid", updated_at=at(0)))
    await place.turn()
    assert names(await place.bulk()) == ["order.paid", "order.updated"]


async def test_an_older_state_from_the_shop_overwrites_nothing(place: Place, shop: Shop) -> None:
    fake, address = shop
    source = await place.source("shopify", address)
    newer = person(7, "zoe@example.com", first_name="Zoé", updated_at=at(3))
    await place.webhook(source, "customers/update", newer)
    await place.rest()
    fake.customers.append(person(7, "zoe@example.com", first_name="Old"))
    await place.turn()
    (event,) = await place.bulk()
    assert event.name == "contact.created"
    assert "first_name" not in event.traits


async def test_an_order_of_last_week_is_history(place: Place, shop: Shop) -> None:
    fake, address = shop
    await place.source("shopify", address)
    week = order(
        1, "zoe@example.com", created_at=at(-8 * 1440), processed_at=at(-8 * 1440),
        updated_at=at(-1),
    )  # fmt: skip
    fake.orders.append(week)
    await place.turn()
    placed = next(e for e in await place.bulk() if e.name == "order.placed")
    assert placed.flags.historical


async def test_a_recovered_order_marks_its_checkout_as_completed(place: Place, shop: Shop) -> None:
    fake, address = shop
    await place.source("shopify", address)
    fake.orders.append(order(1, "zoe@example.com", "t1"))
    fake.checkouts.append(checkout("t1", "zoe@example.com", updated_at=at(-1)))
    await place.turn()
    started = [e for e in await place.bulk() if e.name.startswith("checkout.")]
    assert started
    assert all(event.data["completed"] for event in started)


async def test_a_shop_is_read_page_by_page_and_nothing_is_read_twice(
    place: Place, shop: Shop
) -> None:
    fake, address = shop
    await place.source("shopify", address)
    fake.orders += [order(n, f"p{n}@example.com", updated_at=at(-n / 60)) for n in range(1, 121)]
    await place.turn()
    placed = [event for event in await place.bulk() if event.name == "order.placed"]
    assert len({event.object.id for event in placed if event.object}) == 120
    before = len(await place.bulk())
    pulled = (await place.row("SELECT pulled FROM ingest.puller"))["pulled"]
    await place.poll()
    assert len(await place.bulk()) == before
    assert (await place.row("SELECT pulled FROM ingest.puller"))["pulled"] == pulled == 120


async def test_a_hundred_orders_of_one_second_are_all_read(place: Place, woo: Woo) -> None:
    fake, address = woo
    await place.source("woocommerce", address)
    fake.orders += [woo_order(n, f"p{n}@example.com") for n in range(1, 121)]
    await place.turn()
    placed = [event for event in await place.bulk() if event.name == "order.placed"]
    assert len(placed) == 120


async def test_a_list_that_shifts_while_it_is_read_loses_nobody(place: Place, woo: Woo) -> None:
    fake, address = woo
    await place.source("woocommerce", address)
    fake.orders += [woo_order(n, f"p{n}@example.com", -200 + n) for n in range(1, 121)]

    def touch() -> None:
        for each in fake.orders[:5]:
            each["date_modified_gmt"] = at(-1)[:-1]

    fake.between = touch
    await place.turn()
    placed = [event for event in await place.bulk() if event.name == "order.placed"]
    assert len(placed) == 120


@pytest.mark.parametrize("says_totals", [True, False])
async def test_woocommerce_is_filled_in_once(place: Place, woo: Woo, *, says_totals: bool) -> None:
    fake, address = woo
    source = await place.source("woocommerce", address)
    fake.says_totals = says_totals
    fake.orders += [woo_order(1, "a@example.com"), woo_order(2, "b@example.com")]
    fake.customers.append(
        {
            "id": 7,
            "email": "zoe@example.com",
            "role": "customer",
            "date_created_gmt": at(-3)[:-1],
            "date_modified_gmt": at(-3)[:-1],
            "is_paying_customer": False,
        }
    )
    await place.webhook(source, "order.created", fake.orders[0])
    await place.rest()
    await place.turn()
    await place.poll()
    assert names(await place.bulk()) == [
        "contact.created", "contact.updated", "order.placed", "order.updated",
    ]  # fmt: skip


# -- shops in trouble ------------------------------------------------------------


async def test_a_busy_shop_is_left_alone_for_as_long_as_it_asks(place: Place, shop: Shop) -> None:
    fake, address = shop
    await place.source("shopify", address)
    fake.orders.append(order(1, "zoe@example.com"))
    fake.fails = [429]
    assert await place.turn()
    assert not await place.turn()
    row = await place.row("SELECT failures, problem FROM ingest.puller")
    assert row["failures"] == 1
    assert "429" in row["problem"]
    await place.later(seconds=31)
    assert await place.turn()
    assert (await place.row("SELECT failures FROM ingest.puller"))["failures"] == 0
    assert names(await place.bulk()) == ["order.placed", "order.updated"]


async def test_a_server_error_costs_nothing_but_time(place: Place, shop: Shop) -> None:
    fake, address = shop
    await place.source("shopify", address)
    fake.orders.append(order(1, "zoe@example.com"))
    for failures in (1, 2, 3):
        fake.fails = [500]
        assert await place.turn()
        row = await place.row("SELECT failures FROM ingest.puller")
        assert row["failures"] == failures
        await place.later(minutes=10)
    assert await place.turn()
    assert names(await place.bulk()) == ["order.placed", "order.updated"]


async def test_a_nearly_full_bucket_ends_the_turn(place: Place, shop: Shop) -> None:
    fake, address = shop
    await place.source("shopify", address)
    fake.orders += [order(n, f"p{n}@example.com", updated_at=at(-n / 60)) for n in range(1, 121)]
    fake.calls_used = 39
    await place.turn()
    assert not await place.turn()
    fake.calls_used = 1
    await place.later(seconds=30)
    await place.turn()
    placed = [event for event in await place.bulk() if event.name == "order.placed"]
    assert len(placed) == 120


async def test_a_wrong_token_is_said_in_words(place: Place, shop: Shop) -> None:
    await place.source("shopify", shop[1], token="shpat_wrong")
    await place.turn()
    problem = (await place.row("SELECT problem FROM ingest.puller"))["problem"]
    assert "refuses the API token" in problem
    assert "shpat" not in problem


async def test_a_shop_that_sends_us_elsewhere_is_not_followed(place: Place, shop: Shop) -> None:
    fake, address = shop
    fake.redirect = f"{address}/admin/elsewhere"
    await place.source("shopify", address)
    await place.turn()
    assert not any("elsewhere" in each for each in fake.asked)
    assert "elsewhere" in (await place.row("SELECT problem FROM ingest.puller"))["problem"]


async def test_a_page_of_html_is_no_answer(place: Place, woo: Woo) -> None:
    fake, address = woo
    fake.html = True
    await place.source("woocommerce", address)
    await place.turn()
    assert "not what its API gives" in (await place.row("SELECT problem FROM ingest.puller"))[0]


async def test_a_permission_that_is_missing_stops_only_its_own_list(
    place: Place, shop: Shop
) -> None:
    fake, address = shop
    await place.source("shopify", address)
    fake.forbidden = {"customers"}
    fake.orders.append(order(1, "zoe@example.com"))
    fake.checkouts.append(checkout("t9", "ada@example.com", updated_at=at(-1)))
    await place.turn()
    assert "403" in (await place.row("SELECT problem FROM ingest.puller"))["problem"]
    assert names(await place.bulk()) == [
        "checkout.started", "checkout.updated", "order.placed", "order.updated",
    ]  # fmt: skip


async def test_a_place_in_the_list_that_the_shop_forgot_is_found_again(
    place: Place, shop: Shop
) -> None:
    fake, address = shop
    await place.source("shopify", address)
    fake.orders += [order(n, f"p{n}@example.com", updated_at=at(-n / 60)) for n in range(1, 121)]
    fake.forgets_places = True
    await place.turn()
    placed = [event for event in await place.bulk() if event.name == "order.placed"]
    assert len(placed) == 120


async def test_without_a_log_the_place_in_the_list_stays(
    place: Place, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, address = shop
    await place.source("shopify", address)
    fake.orders.append(order(1, "zoe@example.com"))
    append = place.broker.append

    async def away(*_: Any) -> None:
        raise BrokerUnavailable("away")

    monkeypatch.setattr(place.broker, "append", away)
    await place.turn()
    monkeypatch.setattr(place.broker, "append", append)
    await place.later(minutes=2)
    await place.turn()
    assert names(await place.bulk()) == ["order.placed", "order.updated"]


async def test_two_processes_never_ask_one_shop_at_once(place: Place, shop: Shop) -> None:
    await place.source("shopify", shop[1])
    claimed = await place.puller.pulls.claim(
        "other 0", place.wall.now(), place.wall.now() + dt.timedelta(minutes=2)
    )
    assert claimed is not None
    assert not await place.turn()
    await place.later(minutes=3)  # the other one died
    assert await place.turn()


async def test_a_paused_source_is_not_asked(place: Place, shop: Shop) -> None:
    source = await place.source("shopify", shop[1])
    await place.sources.set_state(source.workspace, source.id, SourceState.PAUSED)
    assert not await place.turn()


# -- backfill ------------------------------------------------------------


async def test_a_backfill_tells_two_years_and_triggers_nothing(place: Place, shop: Shop) -> None:
    fake, address = shop
    await place.source("shopify", address)
    for n in range(1, 131):
        then = at(-1440 * 5 * n)
        fake.orders.append(
            order(n, f"p{n}@example.com", created_at=then, processed_at=then, updated_at=then)
        )
    then = at(-1440 * 40)
    fake.customers.append(person(7, "p1@example.com", created_at=then, updated_at=then))
    job = await place.backfill("2024-11-22T00:00:00Z")
    assert job["state"] == "waiting"
    await place.turn()
    done = await place.job()
    assert (done["state"], done["done"], done["total"]) == ("done", 131, 131)
    found = await place.bulk()
    assert len([event for event in found if event.name == "order.placed"]) == 130
    assert all(event.flags.historical for event in found)


async def test_a_backfill_leaves_the_last_hours_to_webhooks_and_pollers(
    place: Place, shop: Shop
) -> None:
    fake, address = shop
    source = await place.source("shopify", address)
    fake.orders.append(order(1, "zoe@example.com"))
    await place.backfill("2024-11-22T00:00:00Z")
    await place.turn()
    assert (await place.job())["done"] == 0
    assert not any(event.flags.historical for event in await place.bulk())
    await place.webhook(source, "orders/create", fake.orders[0])
    assert names(await place.bulk()) == ["order.placed", "order.updated"]


async def test_a_backfill_goes_on_where_a_killed_one_was(place: Place, shop: Shop) -> None:
    fake, address = shop
    await place.source("shopify", address)
    for n in range(1, 131):
        then = at(-1440 * 5 * n)
        fake.orders.append(
            order(n, f"p{n}@example.com", created_at=then, processed_at=then, updated_at=then)
        )
    await place.backfill("2024-11-22T00:00:00Z")
    # Reconciliation takes three answers, counting and the customers three, the first page one.
    keep, pages = place.puller.pulls.keep, 0

    async def killed(*arguments: Any) -> None:
        nonlocal pages
        pages += 1
        await keep(*arguments)
        if pages == 5:
            raise asyncio.CancelledError

    place.puller.pulls.keep = killed  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await place.turn()
    place.puller.pulls.keep = keep
    halfway = await place.job()
    assert halfway["state"] == "running"
    await place.later(minutes=3)
    await place.turn("two 0")
    done = await place.job()
    assert done["state"] == "done"
    placed = [event for event in await place.bulk() if event.name == "order.placed"]
    assert len(placed) == 130


async def test_a_cancelled_backfill_stops(place: Place, shop: Shop) -> None:
    await place.source("shopify", shop[1])
    await place.backfill("2024-11-22T00:00:00Z")
    again = await place.request(
        "POST", "/api/v1/sources/atelier/backfill", {"since": "2025-01-01T00:00:00Z"}
    )
    assert again.status_code == 409
    cancelled = await place.request("DELETE", "/api/v1/sources/atelier/backfill")
    assert cancelled.json()["state"] == "cancelled"
    await place.turn()
    assert (await place.job())["state"] == "cancelled"
    assert (await place.request("DELETE", "/api/v1/sources/atelier/backfill")).status_code == 409


async def test_a_backfill_says_what_the_app_may_not_see(place: Place, shop: Shop) -> None:
    fake, address = shop
    fake.scopes.discard("read_all_orders")
    await place.source("shopify", address)
    await place.backfill("2024-11-22T00:00:00Z")
    await place.turn()
    assert "read_all_orders" in (await place.job())["note"]


async def test_a_backfill_says_that_it_tries_again_and_forgets_it_when_it_could(
    place: Place, shop: Shop
) -> None:
    fake, address = shop
    await place.source("shopify", address, token="shpat_wrong")
    await place.backfill("2024-11-22T00:00:00Z")
    await place.turn()
    waiting = await place.job()
    assert waiting["state"] == "waiting"
    assert waiting["note"].startswith("trying again: ")
    await place.sources.set_api_token(SourceId("src_1"), shopify_shop.TOKEN)
    await place.later(minutes=2)
    await place.turn()
    done = await place.job()
    assert (done["state"], done["note"]) == ("done", None)
    assert fake.asked


async def test_a_step_within_the_second_of_the_last_look_is_found(place: Place, woo: Woo) -> None:
    fake, address = woo
    await place.source("woocommerce", address)
    fake.orders.append(woo_order(1, "zoe@example.com"))
    await place.turn()
    fake.orders[0] |= {"status": "completed", "date_completed_gmt": at(-1)[:-1]}
    await place.poll()
    assert names(await place.bulk()) == ["order.fulfilled", "order.placed", "order.updated"]


async def test_a_backfill_of_woocommerce(place: Place, woo: Woo) -> None:
    fake, address = woo
    await place.source("woocommerce", address)
    fake.orders += [woo_order(n, f"p{n}@example.com", -1440 * n) for n in range(1, 131)]
    fake.customers += [
        {
            "id": n,
            "email": f"c{n}@example.com",
            "role": "customer",
            "date_created_gmt": at(-1440 * n)[:-1],
            "date_modified_gmt": at(-1440 * n)[:-1],
        }
        for n in range(1, 131)
    ]
    await place.backfill("2026-01-01T00:00:00Z")
    await place.turn()
    assert (await place.job())["state"] == "done"
    found = await place.bulk()
    assert len([e for e in found if e.name == "order.placed"]) == 130
    assert len([e for e in found if e.name == "contact.created"]) == 130
    assert all(event.flags.historical for event in found)


@pytest.mark.parametrize(("kind", "words"), [("stripe", "only shopify"), ("shopify", "api-token")])
async def test_what_cannot_be_backfilled_is_said_at_once(
    place: Place, kind: str, words: str
) -> None:
    source = await place.source("shopify", "http://127.0.0.1")
    await place.pool.execute("UPDATE ingest.source SET kind = $1", kind)
    await place.sources.set_api_token(source.id, None)
    answer = await place.request(
        "POST", "/api/v1/sources/atelier/backfill", {"since": "2025-01-01T00:00:00Z"}
    )
    assert answer.status_code == 422
    assert words in answer.text


# -- the way back ------------------------------------------------------------


async def known(place: Place, source: Source, fake: shopify_shop.ShopifyShop) -> ContactId:
    """A customer that the shop and we know as subscribed."""
    fake.customers.append(
        person(
            7,
            "zoe@example.com",
            email_marketing_consent={
                "state": "subscribed",
                "opt_in_level": "single_opt_in",
                "consent_updated_at": at(-1440),
            },
        )
    )
    await place.webhook(source, "customers/create", fake.customers[0])
    (event,) = await place.events()
    assert event.contact is not None
    await place.turn()
    return event.contact


async def test_an_unsubscribe_is_written_to_the_shop_and_its_echo_goes_nowhere(
    place: Place, shop: Shop
) -> None:
    fake, address = shop
    source = await place.source("shopify", address)
    contact = await known(place, source, fake)
    await place.unsubscribe(contact)
    assert await place.turn()
    (written,) = fake.consents
    assert written["emailMarketingConsent"]["marketingState"] == "UNSUBSCRIBED"
    assert written["customerId"] == "gid://shopify/Customer/7"
    await place.later(seconds=5)
    await place.webhook(source, "customers_email_marketing_consent/update", fake.consent_webhook(7))
    echo = (await place.events())[-1]
    said = [e for e in await place.events() if e.name == "contact.consent_changed"]
    assert [e.traits["consent"]["email"]["state"] for e in said] == ["unsubscribed"]
    assert echo.contact == contact
    await place.poll()
    await place.poll()
    assert len(fake.consents) == 1
    assert (await place.row("SELECT state FROM ingest.write_back"))["state"] == "written"


async def test_who_came_back_in_the_shop_later_is_left_alone(place: Place, shop: Shop) -> None:
    fake, address = shop
    source = await place.source("shopify", address)
    contact = await known(place, source, fake)
    fake.customers[0]["email_marketing_consent"]["consent_updated_at"] = at(60)
    await place.unsubscribe(contact)
    await place.turn()
    assert fake.consents == []
    assert (await place.row("SELECT state FROM ingest.write_back"))["state"] == "overtaken"


async def test_a_throttled_shop_is_told_later(place: Place, shop: Shop) -> None:
    fake, address = shop
    source = await place.source("shopify", address)
    contact = await known(place, source, fake)
    fake.throttled = 1
    await place.unsubscribe(contact)
    await place.turn()
    assert fake.consents == []
    await place.later(minutes=2)
    await place.turn()
    assert len(fake.consents) == 1


async def test_a_customer_that_the_shop_forgot_is_a_divergence(place: Place, shop: Shop) -> None:
    fake, address = shop
    source = await place.source("shopify", address)
    contact = await known(place, source, fake)
    fake.customers.clear()
    await place.unsubscribe(contact)
    await place.turn()
    report = (await place.request("GET", "/api/v1/sources/atelier/divergences")).json()
    (row,) = report["items"]
    assert row["contact"] == contact
    assert "no such customer" in row["reason"]


async def test_woocommerce_cannot_be_told_and_that_is_reported(place: Place, woo: Woo) -> None:
    source = await place.source("woocommerce", woo[1])
    await place.webhook(
        source,
        "customer.created",
        {"id": 7, "email": "zoe@example.com", "date_created_gmt": at(-3)[:-1]},
    )
    (event,) = await place.events()
    assert event.contact is not None
    await place.unsubscribe(event.contact)
    report = (await place.request("GET", "/api/v1/sources/atelier/divergences")).json()
    assert [row["external_id"] for row in report["items"]] == ["7"]
    assert "no e-mail consent" in report["items"][0]["reason"]


async def test_leaving_one_topic_is_not_told_to_the_shop(place: Place, shop: Shop) -> None:
    fake, address = shop
    source = await place.source("shopify", address)
    contact = await known(place, source, fake)
    await place.unsubscribe(contact, data={"scope": "topic", "topic": "news"})
    assert await place.pool.fetchval("SELECT count(*) FROM ingest.write_back") == 0


async def test_a_shop_that_never_met_the_contact_is_not_bothered(place: Place, shop: Shop) -> None:
    fake, address = shop
    source = await place.source("shopify", address)
    await place.source("shopify", address, id="src_2", name="other", namespace="other")
    contact = await known(place, source, fake)
    await place.unsubscribe(contact)
    row = await place.row("SELECT count(*) AS n, min(source) AS source FROM ingest.write_back")
    assert (row["n"], row["source"]) == (1, source.id)


async def test_a_divergence_ends_when_the_shop_says_so_itself(place: Place, shop: Shop) -> None:
    fake, address = shop
    source = await place.source("shopify", address)
    contact = await known(place, source, fake)
    await place.sources.set_api_token(source.id, None)
    await place.unsubscribe(contact)
    path = "/api/v1/sources/atelier/divergences"
    (row,) = (await place.request("GET", path)).json()["items"]
    assert "api-token" in row["reason"]
    by_hand = fake.customers[0]["email_marketing_consent"]
    by_hand |= {"state": "unsubscribed", "consent_updated_at": at(2)}
    topic = "customers_email_marketing_consent/update"
    await place.webhook(source, topic, fake.consent_webhook(7))
    await place.rest()
    assert (await place.request("GET", path)).json()["items"] == []


async def test_who_comes_back_before_the_shop_was_told_is_not_unsubscribed_there(
    place: Place, shop: Shop
) -> None:
    fake, address = shop
    source = await place.source("shopify", address)
    contact = await known(place, source, fake)
    await place.unsubscribe(contact)
    await place.later(seconds=5)
    await place.unsubscribe(
        contact, name="contact.consent_changed", traits={"consent": {"email": "subscribed"}}
    )
    await place.turn()
    assert fake.consents == []
    assert (await place.row("SELECT state FROM ingest.write_back"))["state"] == "overtaken"


async def test_the_report_is_read_page_by_page(place: Place, woo: Woo) -> None:
    source = await place.source("woocommerce", woo[1])
    for n in range(1, 6):
        body = {"id": n, "email": f"p{n}@example.com", "date_created_gmt": at(-n)[:-1]}
        await place.webhook(source, "customer.created", body)
    for event in await place.events():
        assert event.contact is not None
        await place.unsubscribe(event.contact)
    path = "/api/v1/sources/atelier/divergences?limit=2"
    cursor: str | None = None
    found: list[str] = []
    while not found or cursor:
        more = f"&cursor={cursor}" if cursor else ""
        page = (await place.request("GET", path + more)).json()
        found += [row["external_id"] for row in page["items"]]
        cursor = page["next"]
    assert sorted(found) == ["1", "2", "3", "4", "5"]
    assert (await place.request("GET", path + "&cursor=nonsense")).status_code == 400
