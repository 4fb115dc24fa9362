"""What the door does with one order of 20 KB, without HTTP and without the log: CPU alone."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import msgspec
from harness import result

from chappe.clock import UTC, HandClock, WallClock
from chappe.events import RawRecord, raw_key
from chappe.ids import partition_of, random_id
from chappe.shards import wrap
from chappe_ingest.domain.sources import REGISTRY
from chappe_ingest.domain.taking import deliveries

SECRET = "hush-hush-hush-hush"
TIMES = 3_000
BODY_BYTES = 20_000


def _order() -> bytes:
    line: dict[str, Any] = {
        "id": 1, "product_id": 2, "variant_id": 3, "title": "A bar of soap", "quantity": 1,
        "price": "4.90", "sku": "SOAP-1", "vendor": "Quay", "properties": [], "tax_lines": [],
    }  # fmt: skip
    order: dict[str, Any] = {
        "id": 820982911946154508, "email": "zoe@example.com", "currency": "EUR",
        "checkout_token": "c-1", "total_price": "25.91", "line_items": [],
    }  # fmt: skip
    while len(json.dumps(order)) < BODY_BYTES:
        order["line_items"].append(line)
    return json.dumps(order).encode()


def measure() -> list[dict[str, Any]]:
    """Verify on the raw bytes, find its key, stamp, encode."""
    kind, body, wall = REGISTRY["shopify"], _order(), WallClock()
    signature = base64.b64encode(hmac.digest(SECRET.encode(), body, hashlib.sha256)).decode()
    headers = [
        ("content-type", "application/json"),
        ("x-shopify-topic", "orders/create"),
        ("x-shopify-hmac-sha256", signature),
        ("x-shopify-shop-domain", "quay.myshopify.com"),
        ("x-shopify-webhook-id", "b-1"),
    ]
    encode = msgspec.json.Encoder().encode
    at = HandClock(wall.now().astimezone(UTC)).now()

    def once() -> None:
        verdict = kind.verifies({})(body, headers, [SECRET], at)
        assert verdict.verified
        for part in deliveries(kind, {}, body, headers):
            raw = RawRecord(
                id=random_id("raw_"), workspace="default", source="src_1", kind="shopify",  # pyright: ignore[reportArgumentType]
                namespace="quay", received_at=at, received_wall=at, headers=part.headers,
                body=part.body, verified=True,
            )  # fmt: skip
            partition_of(raw_key(raw.source, part.entity or raw.id), 64)
            wrap(encode(raw))

    for _ in range(200):
        once()
    started = time.process_time()
    for _ in range(TIMES):
        once()
    each = (time.process_time() - started) / TIMES
    return [result("verify_and_envelope_20kb", each * 1e3, "ms", "order", bytes=len(body))]


if __name__ == "__main__":
    for line in measure():
        print(line["name"], line["value"], line["unit"], line["per"])
