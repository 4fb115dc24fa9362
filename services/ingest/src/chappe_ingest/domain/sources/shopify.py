"""Shopify's webhooks, as shopify.dev describes them for API versions 2023-07 to 2026-07.

Since 2025-01 a customer carries no consent any more, and since 2026-04 a checkout has no id:
checkouts and carts are known by their tokens.
"""

import dataclasses
import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, cast

import msgspec

from chappe.events import RawRecord
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain import verify as checks
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Normalised
from chappe_ingest.domain.reading import Json, Reader, parse
from chappe_ingest.domain.sources import shopify_events as events
from chappe_ingest.domain.sources import shopify_orders as orders
from chappe_ingest.domain.sources import shopify_people as people
from chappe_ingest.domain.sources.facts import Meant, not_understood, told
from chappe_ingest.domain.sources.shopify_reading import Delivery, header

VENDOR_HOSTS: Final = (
    "myshopify.com",
    "checkout.shopify.com",
    "shop.app",
    "cdn.shopify.com",
    "shopifypreview.com",
)
HEADERS: Final = frozenset(
    {
        f"{prefix}shopify-{name}"
        for prefix in ("x-", "")
        for name in (
            "topic",
            "shop-domain",
            "api-version",
            "webhook-id",
            "event-id",
            "triggered-at",
            "sub-topic",
            "test",
        )
    }
)
"""The headers worth keeping; none of them is signed."""

WE_ISSUE_SECRET: Final = False
TOPICS: Final = (
    "Cart creation",
    "Cart update",
    "Checkout creation",
    "Checkout update",
    "Order creation",
    "Order update",
    "Order payment",
    "Order fulfillment",
    "Order cancellation",
    "Refund create",
    "Customer creation",
    "Customer update",
    "Customer deletion",
    "Customer email marketing consent update",
    "Customer marketing consent update",
)
SETUP: Final = (
    "In Shopify open Settings > Notifications > Webhooks.",
    "Create a webhook, format JSON, the newest API version, with this URL: {url}",
    f"Do so for each of: {', '.join(TOPICS)}.",
    "Copy the key under 'Your webhooks will be signed with'.",
    "Give it to Chappe: chappe sources set-secret {name} --secret KEY",
    "Add your shop's own domain, so that its links stay in your mails: --domain SHOP.example",
    "Press 'Send test notification', then look at: chappe sources status {name}",
)

_Topic: TypeAlias = Callable[[Delivery], Meant]

_TOPICS: Final[dict[str, _Topic]] = {
    "carts/create": orders.cart,
    "carts/update": orders.cart,
    "checkouts/create": orders.checkout,
    "checkouts/update": orders.checkout,
    "checkouts/delete": orders.checkout_deleted,
    "orders/create": orders.order,
    "orders/updated": orders.order,
    "orders/paid": orders.order,
    "orders/partially_fulfilled": orders.order,
    "orders/fulfilled": orders.order,
    "orders/cancelled": orders.order,
    "orders/edited": orders.edited,
    "fulfillments/create": orders.fulfilment,
    "fulfillments/update": orders.fulfilment,
    "refunds/create": orders.refund,
    "customers/create": people.customer,
    "customers/update": people.customer,
    "customers/enable": people.customer,
    "customers/disable": people.customer,
    "customers/delete": people.deleted,
    "customers/merge": people.merged,
    "customer.tags_added": people.tagged,
    "customer.tags_removed": people.tagged,
    "customers/purchasing_summary": people.purchasing,
    "customers_email_marketing_consent/update": people.consent,
    "customers_marketing_consent/update": people.consent,
    "customers/data_request": people.data_request,
    "customers/redact": people.redact,
    "shop/redact": people.shop_redact,
    "app/uninstalled": people.uninstalled,
}


def normalise(raw: RawRecord, links: Links) -> Normalised:
    """The facts of one webhook; a topic that we do not know gives none, and a warning."""
    topic = (header(raw, "topic") or "").strip().lower()
    warnings: list[str] = []
    body = Reader(parse(raw.body), warnings)
    if events.is_event(body.fields):
        said = events.as_webhook(body.fields)
        if said is None:
            spoken = f"{body.text('topic') or ''} {body.text('action') or ''}"
            return not_understood(f"the event {spoken}", _delivery(raw, topic), warnings)
        topic, body = said[0], Reader(said[1], warnings)
    understand = _TOPICS.get(topic)
    if understand is None:
        return not_understood(f"the topic {topic or '(none)'}", _delivery(raw, topic), warnings)
    delivery = Delivery(
        raw=raw,
        topic=topic,
        body=body,
        links=dataclasses.replace(links, vendor=(*links.vendor, *VENDOR_HOSTS)),
        test=_is_test(raw, body),
    )
    return told(
        raw,
        understand(delivery),
        source_event=topic,
        test=delivery.test,
        delivery=_delivery(raw, topic),
        warnings=warnings,
    )


def verify(
    body: bytes, headers: checks.Headers, secrets: Sequence[str], _now: dt.datetime
) -> checks.Verdict:
    """No time is signed, so the clock says nothing."""
    return checks.shopify(body, headers, secrets)


def _is_test(raw: RawRecord, body: Reader) -> bool:
    """A test order, a refund of one, or the notification that the admin page sends."""
    if (header(raw, "test") or "").strip().lower() == "true":
        return True
    given = body.fields.get("transactions")
    transactions = cast("list[object]", given) if isinstance(given, list) else []
    return body.fields.get("test") is True or any(
        isinstance(each, dict) and cast("Json", each).get("test") is True for each in transactions
    )


def _delivery(raw: RawRecord, topic: str) -> str | None:
    """The event id is shared by several subscriptions to one event, the webhook id by retries."""
    given = header(raw, "event-id") or header(raw, "webhook-id")
    return f"{topic[:100]} {given[:200]}" if given else None


class _Entity(msgspec.Struct):
    token: Any = None
    checkout_token: Any = None
    cart_token: Any = None
    customer_id: Any = None
    customerId: Any = None  # noqa: N815 - as Shopify writes it
    customer: Any = None
    order_id: Any = None
    id: Any = None
    query_variables: Any = None


_entity = msgspec.json.Decoder(_Entity)


def entity(body: bytes, headers: checks.Headers) -> str | None:
    """What the delivery is about, cheaply, for its place on the stream: token, customer, object."""
    try:
        seen = _entity.decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    topic = checks.first(headers, "x-shopify-topic", "shopify-topic") or ""
    family = topic.partition("/")[0]
    candidates: tuple[Any, ...] = (seen.checkout_token, seen.cart_token)
    if family in {"checkouts", "carts"}:
        candidates = (seen.token, seen.cart_token)
    elif family in {"customers", "customers_marketing_consent"}:
        candidates = (seen.id,)
    elif family in {"refunds", "fulfillments"}:
        candidates = (seen.order_id,)
    customer: Any = seen.customer
    number = cast("Json", customer).get("id") if isinstance(customer, dict) else None
    variables: Any = seen.query_variables
    asked = list(cast("Json", variables).values())[:4] if isinstance(variables, dict) else []
    for each in (*candidates, seen.customer_id, seen.customerId, number, seen.id, *asked):
        if isinstance(each, str | int) and each not in ("", 0):
            return str(each).rpartition("/")[2][: ids.VALUE_MAX_CHARS]
    return None
