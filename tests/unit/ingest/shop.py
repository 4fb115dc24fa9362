"""A small shop: its payloads as Shopify writes them, its SDK calls, and its deliveries."""

import base64
import datetime as dt
import hashlib
import hmac
import itertools
import json
from typing import Any

from chappe.clock import UTC
from chappe.events import RawRecord
from chappe.ids import DEFAULT_WORKSPACE, SourceId

NOW = dt.datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
SECRET = "shpss_secret"
_numbers = itertools.count(1)


def at(minutes: float = 0) -> str:
    """ISO time, minutes from ``NOW``."""
    return (NOW + dt.timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def customer(number: int, email: str | None) -> dict[str, Any]:
    return {"id": number, "email": email, "first_name": "Léa", "last_name": "Roux"}


def checkout(token: str, email: str | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "token": token,
        "cart_token": f"cart-{token}",
        "email": email,
        "created_at": at(-10),
        "updated_at": at(-5),
        "completed_at": None,
        "currency": "EUR",
        "total_price": "49.90",
        "buyer_accepts_marketing": True,
        "customer_locale": "fr-FR",
        "abandoned_checkout_url": f"https://atelier.myshopify.com/c/{token}?key=k",
        "customer": None,
        "shipping_address": [],
        "line_items": [
            {"product_id": 11, "variant_id": 111, "title": "Lampe", "quantity": 1, "price": "49.90"}
        ],
    } | fields


def order(
    number: int, email: str | None, token: str | None = None, **fields: Any
) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"#{number}",
        "email": email,
        "contact_email": email,
        "checkout_token": token,
        "cart_token": f"cart-{token}" if token else None,
        "created_at": at(-2),
        "updated_at": at(-1),
        "processed_at": at(-2),
        "currency": "EUR",
        "total_price": "49.90",
        "financial_status": "pending",
        "fulfillment_status": None,
        "test": False,
        "buyer_accepts_marketing": False,
        "customer": None,
        "line_items": [
            {"product_id": 11, "variant_id": 111, "name": "Lampe", "quantity": 1, "price": "49.90"}
        ],
    } | fields


def shopify(topic: str, body: Any, *, event_id: str | None = None, **fields: Any) -> RawRecord:
    """A verified delivery of the shop ``atelier``."""
    number = next(_numbers)
    headers = {"x-shopify-topic": topic, "x-shopify-event-id": event_id or f"event-{number}"}
    return raw("shopify", body, headers=headers, **({"namespace": "atelier"} | fields))


def segment(call: str, body: Any, **fields: Any) -> RawRecord:
    return raw("segment", body, headers={"call": call}, source=SourceId("src_web"), **fields)


def raw(kind: str, body: Any, *, headers: dict[str, str], **fields: Any) -> RawRecord:
    given: dict[str, Any] = {
        "id": f"raw_{next(_numbers)}",
        "workspace": DEFAULT_WORKSPACE,
        "source": SourceId("src_shop"),
        "kind": kind,
        "namespace": "",
        "received_at": NOW,
        "received_wall": NOW,
        "headers": headers,
        "body": body if isinstance(body, bytes) else json.dumps(body).encode(),
        "verified": True,
    }
    return RawRecord(**(given | fields))


def signature(body: bytes, secret: str = SECRET) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode()
