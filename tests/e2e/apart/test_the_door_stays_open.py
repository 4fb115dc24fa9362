"""A shop that never tries again, while the door, the resolver and Kafka die under it."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer

from chappe.events import decode_event
from chappe.shards.records import unwrap
from chappe.testing.kafka import KafkaBroker
from tests.conftest import own_kafka
from tests.e2e.apart.driving import api
from tests.e2e.apart.fleet import Fleet, Process, free_port, until

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]

AWAY_SECONDS = 30
CALM_SECONDS = 3
SHOPS = 4
PAUSE_SECONDS = 0.02
SETTLE_SECONDS = 120
QUIET_SECONDS = 5
SECRET = "a-secret-of-the-shop-0123456789"


@pytest.fixture
def kafka_bootstrap(own: KafkaBroker) -> str:
    """This test stops its broker, so the broker is its own."""
    return own.bootstrap


@pytest.fixture
def own() -> Generator[KafkaBroker]:
    with own_kafka() as server:
        yield server


@dataclass
class Shop:
    """WooCommerce: each order is told once, whatever the answer."""

    url: str
    statuses: Counter[int] = field(default_factory=Counter[int])
    acknowledged: list[str] = field(default_factory=list[str])
    told: int = 0
    open: bool = True

    async def sell(self, number: int) -> None:
        async with httpx.AsyncClient(timeout=10) as client:
            while self.open:
                self.told += 1
                order = f"{number}{self.told:06d}"
                body = json.dumps(_order(order)).encode()
                try:
                    answer = await client.post(self.url, content=body, headers=_headers(body))
                except httpx.TransportError:
                    self.statuses[0] += 1
                    await asyncio.sleep(0.2)
                    continue
                self.statuses[answer.status_code] += 1
                if answer.status_code == 200:
                    self.acknowledged.append(order)
                await asyncio.sleep(PAUSE_SECONDS)


def _order(number: str) -> dict[str, Any]:
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    return {
        "id": int(number), "number": number, "status": "processing", "currency": "EUR",
        "total": "25.00", "customer_id": 0, "date_created_gmt": at, "date_modified_gmt": at,
        "date_paid_gmt": None, "line_items": [],
        "billing": {"email": f"guest{int(number) % 500}@shop.example", "first_name": "Zoé"},
    }  # fmt: skip


def _headers(body: bytes) -> dict[str, str]:
    signature = base64.b64encode(hmac.digest(SECRET.encode(), body, hashlib.sha256)).decode()
    return {
        "content-type": "application/json",
        "x-wc-webhook-topic": "order.created",
        "x-wc-webhook-signature": signature,
        "x-wc-webhook-id": "7",
        "x-wc-webhook-delivery-id": hashlib.sha256(body).hexdigest()[:32],
    }


async def test_every_acknowledged_order_becomes_one_event_whatever_dies(
    fleet: Fleet, own: KafkaBroker, tmp_path: Path
) -> None:
    fleet.environment["CHAPPE_DATA"] = str(tmp_path / "data")
    port = free_port()
    edge, resolver = fleet.start("ingest", port=port), fleet.start("resolver")
    await _all_ready(edge, resolver)
    body = {"kind": "woocommerce", "name": "shop", "secret": SECRET, "domains": ["shop.example"]}
    source = api(edge, "POST", "/api/v1/sources", body)
    shops = [Shop(f"http://127.0.0.1:{port}/in/{source['id']}") for _ in range(SHOPS)]

    async with asyncio.TaskGroup() as selling:
        for number, shop in enumerate(shops, start=1):
            selling.create_task(shop.sell(number))

        async def reborn(process: Process) -> Process:
            await asyncio.to_thread(process.kill)
            heir = fleet.start(*process.roles, port=port if process is edge else None)
            await _all_ready(heir)
            return heir

        await asyncio.sleep(CALM_SECONDS)
        edge = await reborn(edge)
        await asyncio.sleep(CALM_SECONDS)
        resolver = await reborn(resolver)
        before = _total(shops)
        await asyncio.to_thread(own.stop)
        await asyncio.sleep(AWAY_SECONDS / 2)
        edge = await reborn(edge)  # nothing but its spool and Postgres is there
        await asyncio.sleep(AWAY_SECONDS / 2)
        during = _total(shops) - before
        await asyncio.to_thread(own.start)
        await asyncio.sleep(1)  # while the spool drains
        edge = await reborn(edge)
        resolver = await reborn(resolver)
        await asyncio.sleep(CALM_SECONDS)
        for shop in shops:
            shop.open = False

    acknowledged = {order for shop in shops for order in shop.acknowledged}
    statuses = sum((shop.statuses for shop in shops), Counter[int]())
    seen = await _orders(fleet, own, lambda orders: acknowledged <= orders.keys())
    lost, doubled = acknowledged - seen.keys(), [o for o, count in seen.items() if count > 1]
    print(
        f"told {sum(shop.told for shop in shops)}, answered {dict(statuses)} (0: no connection), "
        f"acknowledged {len(acknowledged)}, of them {during} while Kafka was away for "
        f"{AWAY_SECONDS} s; lost {len(lost)}, doubled {len(doubled)}, "
        f"events nobody acknowledged {len(seen.keys() - acknowledged)}"
    )
    assert during > AWAY_SECONDS, "the spool answered for Kafka"
    assert not lost
    assert not doubled
    assert set(statuses) <= {0, 200, 503}


async def _all_ready(*processes: Process) -> None:
    await asyncio.to_thread(until, "ready", lambda: all(process.ready() for process in processes))


def _total(shops: list[Shop]) -> int:
    return sum(len(shop.acknowledged) for shop in shops)


async def _orders(
    fleet: Fleet, own: KafkaBroker, enough: Callable[[Counter[str]], bool]
) -> Counter[str]:
    """How often each order was placed, as a consumer counts: a relayed record once by its seq."""
    topic = f"{fleet.environment['CHAPPE_KAFKA_PREFIX']}events"
    consumer: Any = AIOKafkaConsumer(
        topic, bootstrap_servers=own.bootstrap, auto_offset_reset="earliest"
    )
    await consumer.start()
    orders: Counter[str] = Counter()
    stamps: set[Any] = set()
    deadline = time.monotonic() + SETTLE_SECONDS
    quiet_since = time.monotonic()
    try:
        while time.monotonic() < deadline:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    quiet_since = time.monotonic()
                    stamp, event = unwrap(record.value)
                    if stamp is not None and stamp in stamps:
                        continue
                    stamps.add(stamp)
                    found = decode_event(event)
                    if found.name == "order.placed":
                        orders[found.data["order_id"]] += 1
            if enough(orders) and time.monotonic() - quiet_since > QUIET_SECONDS:
                break
    finally:
        await consumer.stop()
    return orders
