"""Shops that are asked: what a thin webhook leaves out, and what no webhook brought."""

import asyncio
import datetime as dt
import json
import threading
import urllib.parse
from collections.abc import Callable, Generator
from contextlib import contextmanager
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from tests.e2e.box import Box, until
from tests.fakes import woo_shop
from tests.fakes.playing import played
from tests.fakes.thin_shops import BIGCOMMERCE_TOKEN, STORE, ThinShops

POLLED_SECONDS_MAX = 60.0
LOOPBACK = {"CHAPPE_OUTBOUND_LOOPBACK": "true"}
EMAIL = "zoe@example.com"


@contextmanager
def playing(app: Any) -> Generator[str]:
    """The address of a fake shop, served beside the test."""
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()
    started = threading.Event()
    address: list[str] = []

    async def serve() -> None:
        async with played(app) as at:
            address.append(at)
            started.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(POLLED_SECONDS_MAX)
    try:
        yield address[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


def place(data: Path, source: str, address: str) -> None:
    """Where a source's shop is played: no setting of a real source says so."""

    async def write() -> None:
        lines = (data / "postgres" / "postmaster.pid").read_text().splitlines()
        query = urllib.parse.urlencode({"host": lines[4], "port": lines[3]})
        connection = await asyncpg.connect(f"postgresql://postgres@/postgres?{query}")
        try:
            changed = await connection.execute(
                "UPDATE ingest.source SET config = jsonb_build_object('loopback', $2::text) "
                "WHERE id = $1",
                source,
                address,
            )
            assert changed == "UPDATE 1"
        finally:
            await connection.close()

    asyncio.run(write())


def added(box: Box, **wanted: Any) -> dict[str, Any]:
    answer = box.api("POST", "/api/v1/sources", wanted)
    assert answer.status_code == 201, answer.text
    return answer.json()


def timeline(box: Box, email: str) -> list[dict[str, Any]]:
    found = box.api("GET", f"/api/v1/contacts/email:{email}/timeline?limit=200")
    return found.json()["items"] if found.status_code == 200 else []


def now(**by: float) -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(**by)


def line(box: Box, name: str) -> Any:
    return next((each for each in timeline(box, EMAIL) if each["name"] == name), None)


def test_a_thin_notice_of_bigcommerce_becomes_an_order_with_its_items(
    new_box: Callable[..., Box],
) -> None:
    box, shop = new_box(**LOOPBACK), ThinShops()
    item = {"product_id": 9, "name": "Marteau", "quantity": 1, "price_inc_tax": "84.5000"}
    shop.documents["v2/orders/250"] = {
        "id": 250,
        "customer_id": 32,
        "status_id": 11,
        "date_created": format_datetime(now(minutes=-2)),
        "date_modified": format_datetime(now(minutes=-1)),
        "total_inc_tax": "84.5000",
        "currency_code": "EUR",
        "billing_address": {"email": EMAIL, "first_name": "Zoé"},
        "consignments": [{"shipping": [{"line_items": [item]}]}],
    }
    notice = {
        "scope": "store/order/created",
        "data": {"type": "order", "id": 250},
        "hash": "h",
        "created_at": int(now(minutes=-1).timestamp()),
        "producer": f"stores/{STORE}",
    }
    with playing(shop.app()) as address:
        secret = "own-secret"
        source = added(
            box, kind="bigcommerce", name="tools", secret=secret, api_token=BIGCOMMERCE_TOKEN
        )
        place(box.data, source["id"], address)
        headers = {"X-Chappe-Secret": secret}
        answer = httpx.post(source["url"], json=notice, headers=headers)
        assert answer.status_code == 200, answer.text
        until(lambda: line(box, "order.placed"))
    document = json.dumps(timeline(box, EMAIL))
    assert "84.5" in document
    exported = box.command("contacts", "export", f"email:{EMAIL}", "--json")
    assert "Marteau" in exported.stdout
    assert len(exported.stdout.splitlines()) == 1


def test_an_order_whose_webhook_woocommerce_lost_is_filled_in(new_box: Callable[..., Box]) -> None:
    box, shop = new_box(**LOOPBACK), woo_shop.WooShop()
    with playing(shop.app()) as address:
        source = added(
            box,
            kind="woocommerce",
            name="atelier",
            domains=["atelier.example"],
            api_token=woo_shop.KEYS,
            config={"loopback": address},
        )
        assert source["id"]
        at = now(seconds=1).strftime("%Y-%m-%dT%H:%M:%S")
        shop.orders.append(
            {
                "id": 7,
                "number": "7",
                "status": "processing",
                "currency": "EUR",
                "total": "49.90",
                "customer_id": 0,
                "billing": {"email": EMAIL, "first_name": "Léa"},
                "line_items": [],
                "refunds": [],
                "date_created_gmt": at,
                "date_modified_gmt": at,
                "date_paid_gmt": None,
                "date_completed_gmt": None,
            }
        )
        until(lambda: line(box, "order.placed"), POLLED_SECONDS_MAX)
    status = json.loads(box.command("sources", "status", "atelier", "--json").stdout)
    assert status["api"]["pulled"] >= 1
    assert (status["dropped_erased"], status["erasures"]) == (0, [])
