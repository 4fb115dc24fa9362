"""A source with an API token, set up over HTTP, in the processes that run it."""

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest

from chappe.broker.memory import MemoryBroker
from chappe.clock import WallClock
from chappe.events import (
    Consent,
    ConsentState,
    Event,
    Stream,
    claim_of,
    decode_event,
    settle,
)
from chappe.events.streams import EVENTS, EVENTS_BULK
from chappe.service import Context, Service
from chappe.settings import load_settings
from chappe.shards import unwrap
from chappe.tokens import Tokens, Vault
from chappe_ingest.bootstrap import edge, migrate, resolver
from tests.fakes.playing import played
from tests.fakes.shopify_shop import TOKEN as SHOP_TOKEN
from tests.fakes.shopify_shop import ShopifyShop
from tests.unit.ingest.shop import order, signature

pytestmark = pytest.mark.integration

PARTITIONS = 4
PATIENCE_SECONDS = 30
TOKEN = "admin-token"
SECRET = "shpss_1"


@dataclass
class Place:
    pool: asyncpg.Pool
    broker: MemoryBroker
    context: Context
    resolver: Service
    http: httpx.AsyncClient
    shop: ShopifyShop

    async def api(self, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = await self.http.request(method, path, json=body, headers=headers)
        assert answer.is_success, answer.text
        return answer

    async def webhook(self, source: dict[str, Any], topic: str, body: Any) -> None:
        content = json.dumps(body).encode()
        headers = {
            "Content-Type": "application/json",
            "X-Shopify-Topic": topic,
            "X-Shopify-Hmac-Sha256": signature(content, SECRET),
        }
        path = source["url"].removeprefix(self.context.public_url)
        assert (await self.http.post(path, content=content, headers=headers)).status_code == 200

    async def events(self, stream: Stream) -> list[Event]:
        while await self.resolver.busy() is not None:
            await asyncio.sleep(0.01)
        return [
            decode_event(unwrap(record.value)[1])
            for partition in range(PARTITIONS)
            for record in self.broker.log(stream, partition).slice(0, 10_000)
        ]

    async def until(self, what: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await what():
                await asyncio.sleep(0.05)


@pytest.fixture
async def place(pool: asyncpg.Pool) -> AsyncIterator[Place]:
    await migrate(pool)
    broker = MemoryBroker(PARTITIONS)
    context = Context(
        settings=load_settings({"CHAPPE_OUTBOUND_LOOPBACK": "true"}),
        pool=pool,
        broker=broker,
        business=WallClock(),
        wall=WallClock(),
        tokens=Tokens(b"k" * 32),
        vault=Vault(b"k" * 32),
        me="one",
        admin_token=TOKEN,
        public_url="http://shop.test",
        api_url="http://shop.test",
        smtp_url=None,
        exclusive=True,
    )
    shop = ShopifyShop()
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(played(shop.app()))
        door = await stack.enter_async_context(edge(context))
        behind = await stack.enter_async_context(resolver(context))
        http = await stack.enter_async_context(
            httpx.AsyncClient(transport=httpx.ASGITransport(door.app), base_url="http://shop.test")
        )
        tasks = [asyncio.ensure_future(service.run()) for service in (door, behind)]
        await pool.execute(
            "CREATE FUNCTION played() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN NEW.config = jsonb_build_object('loopback', TG_ARGV[0]); RETURN NEW; END $$"
        )
        await pool.execute(
            "CREATE TRIGGER played BEFORE INSERT ON ingest.source FOR EACH ROW "
            f"EXECUTE FUNCTION played('{address}')"
        )
        yield Place(pool, broker, context, behind, http, shop)
        await door.stop()
        await behind.stop()
        await asyncio.wait(tasks, timeout=PATIENCE_SECONDS)
        for task in tasks:
            task.result()


def ago(**by: float) -> str:
    return (dt.datetime.now(dt.UTC) - dt.timedelta(**by)).strftime("%Y-%m-%dT%H:%M:%SZ")


async def shopify(place: Place) -> dict[str, Any]:
    """A source that is old enough for a first poll to look back."""
    wanted = {
        "kind": "shopify",
        "name": "atelier",
        "secret": SECRET,
        "domains": ["atelier.myshopify.com"],
        "api_token": SHOP_TOKEN,
    }
    source = (await place.api("POST", "/api/v1/sources", wanted)).json()
    await place.pool.execute("UPDATE ingest.source SET created_at = now() - interval '30 days'")
    return source


def fresh(number: int, email: str) -> dict[str, Any]:
    times = {"created_at": ago(minutes=2), "processed_at": ago(minutes=2)}
    return order(number, email, f"t{number}", updated_at=ago(minutes=1), **times)


async def test_lost_webhooks_are_filled_in_once_and_a_backfill_brings_what_was_before(
    place: Place,
) -> None:
    then = {name: ago(days=200) for name in ("created_at", "processed_at", "updated_at")}
    place.shop.orders += [fresh(1, "zoe@example.com"), fresh(2, "ada@example.com")]
    place.shop.orders.append(order(3, "lou@example.com", **then))
    source = await shopify(place)
    await place.webhook(source, "orders/create", place.shop.orders[0])
    job = await place.api("POST", "/api/v1/sources/atelier/backfill", {"since": ago(days=700)})
    assert job.json()["state"] == "waiting"

    async def over() -> bool:
        shown = (await place.api("GET", "/api/v1/sources/atelier")).json()
        return bool(shown["api"] and shown["api"]["backfill"]["state"] == "done")

    await place.until(over)
    told = [*await place.events(EVENTS), *await place.events(EVENTS_BULK)]
    placed = {
        each.object.id: each.flags.historical
        for each in told
        if each.name == "order.placed" and each.object
    }
    assert placed == {"1": False, "2": False, "3": True}
    assert len([each for each in told if each.name == "order.placed"]) == 3
    api = (await place.api("GET", "/api/v1/sources/atelier")).json()["api"]
    assert api["problem"] is None
    assert api["divergent"] == 0


async def test_who_unsubscribes_through_our_link_is_unsubscribed_in_the_shop_and_stays_so(
    place: Place,
) -> None:
    source = await shopify(place)
    customer = {
        "id": 7,
        "email": "zoe@example.com",
        "created_at": ago(days=3),
        "updated_at": ago(minutes=9),
        "email_marketing_consent": {
            "state": "subscribed",
            "opt_in_level": "single_opt_in",
            "consent_updated_at": ago(days=3),
        },
    }
    place.shop.customers.append(customer)
    await place.webhook(source, "customers/create", customer)
    contact = next(e.contact for e in await place.events(EVENTS) if e.contact)
    token = place.context.tokens.seal(
        "unsubscribe", ["default", contact, "zoe@example.com", "m_1", "news"]
    )
    assert (await place.http.post(f"/u/{token}")).status_code == 200

    async def written() -> bool:
        states = await place.pool.fetch("SELECT state FROM ingest.write_back")
        return [row["state"] for row in states] == ["written"]

    await place.until(written)
    echo = place.shop.consent_webhook(7)
    await place.webhook(source, "customers_email_marketing_consent/update", echo)
    restated = customer | {"updated_at": ago(seconds=0), "first_name": "Zoé"}
    await place.webhook(source, "customers/update", restated)
    held: Consent | None = None
    for event in await place.events(EVENTS):
        claim = claim_of(event)
        if event.name == "email.unsubscribed":
            held = Consent(ConsentState.UNSUBSCRIBED, event.occurred_at)
        elif claim is not None:
            held = settle(held, claim)
    assert held is not None
    assert held.state is ConsentState.UNSUBSCRIBED
    assert await written()
    assert len(place.shop.consents) == 1
