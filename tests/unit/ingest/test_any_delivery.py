"""Realistic deliveries, spoilt in every way: no adapter raises, and what leaves is well formed."""

import copy
import datetime as dt
import json
import re
from typing import Any, cast

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chappe.events import Event, decode_event, encode_event
from chappe_ingest.domain.batches import NotABatch
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Normalised
from chappe_ingest.domain.reading import Unreadable
from chappe_ingest.domain.sources import REGISTRY
from chappe_ingest.domain.taking import deliveries
from tests.unit.ingest.shop import NOW, raw

ADDRESS: dict[str, Any] = {
    "first_name": "Zoé",
    "last_name": "Martin",
    "firstName": "Zoé",
    "email": "zoe@example.com",
    "phone": "+33612345678",
    "country_code": "FR",
    "country": {"code": "FR"},
}
LINES: list[dict[str, Any]] = [
    {
        "id": 71,
        "product_id": 5,
        "variant_id": 6,
        "sku": "TEA-1",
        "title": "Tea",
        "name": "Tea &ndash; green",
        "quantity": 2,
        "price": "12.50",
        "total": "25.00",
        "totalPrice": {"gross": {"amount": 25.0, "currency": "EUR"}},
        "variant": {"sku": "TEA-1", "name": "100 g", "product": {"name": "Tea"}},
        "price_set": {"shop_money": {"amount": "12.50", "currency_code": "EUR"}},
    }
]
ORDER: dict[str, Any] = {
    "id": 820982911946154508,
    "admin_graphql_api_id": "gid://shopify/Order/820982911946154508",
    "name": "#1001",
    "number": "1001",
    "token": "tok_order",
    "cart_token": "tok_cart",
    "checkout_token": "tok_checkout",
    "email": "zoe@example.com",
    "contact_email": "zoe@example.com",
    "customer_id": 7,
    "customer": {"id": 115310627314723954, **ADDRESS},
    "billing": ADDRESS,
    "billing_address": ADDRESS,
    "shipping_address": [],
    "status": "processing",
    "currency": "EUR",
    "total": "25.00",
    "total_price": "25.00",
    "current_total_price": "25.00",
    "line_items": LINES,
    "lines": LINES,
    "coupon_lines": [{"code": "welcome"}],
    "discount_codes": [{"code": "WELCOME", "amount": "1.00", "type": "fixed_amount"}],
    "refunds": [{"id": 9, "total": "-5.00", "created_at": "2026-11-22T08:00:00Z"}],
    "fulfillments": [{"id": 4, "created_at": "2026-11-22T08:00:00Z"}],
    "processed_at": "2026-11-22T08:00:00Z",
    "created_at": "2026-11-22T08:00:00+01:00",
    "updated_at": "2026-11-22T08:30:00Z",
    "cancelled_at": "2026-11-22T08:30:00Z",
    "date_created_gmt": "2026-11-22T08:00:00",
    "date_paid_gmt": "2026-11-22T08:01:00",
    "date_modified_gmt": "2026-11-22T08:30:00",
    "meta_data": [{"id": 1, "key": "wpml_language", "value": "fr"}],
    "buyer_accepts_marketing": True,
    "financial_status": "paid",
    "abandoned_checkout_url": "https://shop.example/recover/1",
    "order_status_url": "https://shop.example/status/1",
    "note_attributes": [{"name": "rudderAnonymousId", "value": "anon-1"}],
    "email_marketing_consent": {
        "state": "subscribed",
        "opt_in_level": "single_opt_in",
        "consent_updated_at": "2026-11-01T08:00:00Z",
    },
    "email_address": "zoe@example.com",
    "order_id": 820982911946154508,
    "transactions": [{"kind": "refund", "status": "success", "amount": "5.00", "currency": "EUR"}],
    "refund_line_items": [{"quantity": 1, "subtotal": "5.00"}],
}
SESSION: dict[str, Any] = {
    "id": "cs_1",
    "object": "checkout.session",
    "payment_intent": "pi_1",
    "payment_status": "paid",
    "mode": "payment",
    "customer": "cus_1",
    "subscription": "sub_1",
    "customer_email": "zoe@example.com",
    "customer_details": {"email": "zoe@example.com", "name": "Zoé Martin", "phone": None},
    "amount": 1900,
    "amount_total": 1900,
    "amount_refunded": 500,
    "currency": "eur",
    "created": 1795334400,
    "status": "succeeded",
    "consent": {"promotions": "opt_in"},
    "after_expiration": {"recovery": {"url": "https://buy.stripe.com/r/1", "expires_at": 1}},
    "total_details": {"amount_discount": 100},
    "items": {"data": [{"price": {"unit_amount": 1900, "currency": "eur"}, "quantity": 1}]},
    "lines": {"data": [{"amount": 1900, "currency": "eur", "description": "Tea"}]},
    "parent": {"subscription_details": {"subscription": "sub_1"}},
    "refunds": {"data": [{"id": "re_1", "amount": 500, "currency": "eur", "status": "succeeded"}]},
    "period_end": 1795334400,
    "trial_end": 1795334400,
    "attempt_count": 1,
}


def stripe(kind: str) -> tuple[str, dict[str, str], Any]:
    event = {
        "id": "evt_1",
        "object": "event",
        "type": kind,
        "created": 1795334400,
        "livemode": True,
        "api_version": "2026-08-26.dahlia",
        "data": {"object": SESSION, "previous_attributes": {"amount_refunded": 0}},
    }
    return "stripe", {}, event


def shopware(event: str) -> tuple[str, dict[str, str], Any]:
    order = {
        "id": "0a1b",
        "orderNumber": "10001",
        "amountTotal": 25.0,
        "currency": {"isoCode": "EUR"},
        "orderCustomer": ADDRESS,
        "lineItems": [{"label": "Tea", "quantity": 1, "unitPrice": 25.0, "productId": "p"}],
        "deliveries": [{"id": "d"}],
        "orderDateTime": "2026-11-22T08:00:00.000+00:00",
        "stateMachineState": {"technicalName": "open"},
    }
    payload = {"order": order, "customer": ADDRESS, "newsletterRecipient": ADDRESS, "entity": "x"}
    body = {
        "data": {"event": event, "payload": payload},
        "source": {"url": "https://shop.example", "shopId": "s", "eventId": "e1"},
        "timestamp": 1795334400,
    }
    return "shopware", {"x-shopware-sequence": "12"}, body


def bigcommerce(scope: str, about: Any) -> tuple[str, dict[str, str], Any]:
    body = {
        "scope": scope,
        "store_id": "1025646",
        "data": about,
        "hash": "dd70c0976e06b67aaf671e73f49dcb79230ebf9d",
        "created_at": 1795334400,
        "producer": "stores/abc",
    }
    return "bigcommerce", {"webhook-id": "w_1"}, body


def saleor(event: str) -> tuple[str, dict[str, str], Any]:
    money = {"gross": {"amount": 25.5, "currency": "EUR"}}
    order = {
        "id": "T3JkZXI6MQ==",
        "token": "tok",
        "number": "1001",
        "userEmail": "zoe@example.com",
        "email": "zoe@example.com",
        "languageCodeEnum": "FR",
        "created": "2026-11-22T08:00:00Z",
        "total": money,
        "totalPrice": money,
        "lines": LINES,
        "billingAddress": ADDRESS,
        "user": {"id": "VXNlcjox", **ADDRESS},
        "metadata": [{"key": "newsletter", "value": "true"}],
        "voucherCode": "WELCOME",
        "fulfillments": [{"id": "f", "created": "2026-11-22T08:00:00Z"}],
    }
    body = {"issuedAt": "2026-11-22T08:00:00Z", "version": "3.24.0"}
    return (
        "saleor",
        {"saleor-event": event},
        body | {"order": order, "checkout": order, "user": order},
    )


def adobe(kind: str) -> tuple[str, dict[str, str], Any]:
    value = {**ORDER, "entity_id": 5, "customer_email": "zoe@example.com", "grand_total": 25.0}
    body = {
        "specversion": "1.0",
        "id": "c1",
        "source": "urn:uuid:1",
        "type": f"com.adobe.commerce.observer.{kind}",
        "time": "2026-11-22T08:00:00Z",
        "data": {"value": value, "_metadata": {"storeId": "1", "websiteId": "1"}},
    }
    return "adobe", {}, body


def segment(kind: str, **fields: Any) -> tuple[str, dict[str, str], Any]:
    body = {
        "type": kind,
        "messageId": "m1",
        "anonymousId": "anon-1",
        "userId": "u1",
        "timestamp": "2026-11-22T08:00:00Z",
        "sentAt": "2026-11-22T08:00:01Z",
        "context": {"locale": "fr-FR", "traits": ADDRESS, "timezone": "Europe/Paris"},
        "traits": {**ADDRESS, "consent": {"email": "subscribed"}},
        **fields,
    }
    return "segment", {}, body


BOUGHT = {"order_id": "o1", "total": 25.0, "currency": "EUR", "products": LINES, "cart_id": "c"}
WOO_ORDER = {"x-wc-webhook-topic": "order.updated", "x-wc-webhook-id": "1"}
WOO_CUSTOMER = {"x-wc-webhook-topic": "customer.updated", "x-wc-webhook-id": "2"}
SHOPIFY_TOPICS = (
    *("orders/create", "orders/updated", "orders/paid", "orders/fulfilled", "orders/cancelled"),
    *("refunds/create", "checkouts/create", "checkouts/update", "carts/update", "orders/edited"),
    *("customers/create", "customers/update", "customers/delete", "customers/merge"),
    *("customers_email_marketing_consent/update", "customers_marketing_consent/update"),
    *("fulfillments/create", "customers/redact", "customers/data_request", "app/uninstalled"),
)
DELIVERIES: list[tuple[str, dict[str, str], Any]] = [
    *(("shopify", {"x-shopify-topic": topic}, ORDER) for topic in SHOPIFY_TOPICS),
    ("woocommerce", WOO_ORDER, ORDER),
    ("woocommerce", WOO_CUSTOMER, ORDER | {"role": "customer"}),
    *map(
        stripe,
        (
            *("checkout.session.completed", "checkout.session.expired", "charge.refunded"),
            *("payment_intent.succeeded", "customer.created", "customer.subscription.created"),
            *("customer.subscription.trial_will_end", "invoice.upcoming", "invoice.paid"),
            *("invoice.payment_failed", "refund.created", "customer.subscription.deleted"),
        ),
    ),
    bigcommerce("store/cart/abandoned", {"type": "cart", "id": "c-1", "token": "t"}),
    bigcommerce("store/cart/converted", {"type": "cart", "id": "c-1", "orderId": 5}),
    bigcommerce("store/customer/created", {"type": "customer", "id": 5}),
    bigcommerce(
        "store/order/statusUpdated",
        {"type": "order", "id": 5, "status": {"previous_status_id": 0, "new_status_id": 11}},
    ),
    bigcommerce(
        "store/order/refund/created", {"type": "order", "id": 5, "refund": {"refund_id": 1}}
    ),
    *map(saleor, ("order_created", "order_paid", "checkout_updated", "customer_created")),
    *map(
        shopware,
        ("checkout.order.placed", "checkout.customer.register", "newsletter.confirm"),
    ),
    shopware("state_enter.order_transaction.state.paid"),
    *map(adobe, ("sales_order_save_after", "customer_save_commit_after", "sales_quote_save_after")),
    segment("identify"),
    segment("track", event="Order Completed", properties=BOUGHT),
    segment("track", event="Product Added", properties=BOUGHT | LINES[0]),
    segment("page", name="Home", properties={"url": "https://shop.example/"}),
    (
        "cloudevents",
        {"content-type": "application/cloudevents+json"},
        {
            "specversion": "1.0",
            "id": "1",
            "source": "/shop",
            "type": "order.placed",
            "time": "2026-11-22T08:00:00Z",
            "data": ORDER | {"identifiers": [{"type": "email", "value": "zoe@example.com"}]},
        },
    ),
]
SPOILT = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**80), 2**80),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.just([]),
    st.just({}),
    st.just([None]),
    st.just([[[[[]]]]]),
    st.sampled_from(
        [
            *(
                "\ud800",
                "\x00",
                "9" * 60,
                "1e400",
                "-0.0",
                "2024-09-16T03:50:1500:00",
                " ",
                "a" * 999,
            ),
            *("9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "NaN", "Infinity", "1.2.3"),
            *("javascript:alert(1)", "https://evil.example/x", "ZOE@EXAMPLE.COM ", "EURO", "null"),
        ]
    ),
)


def places(document: Any, where: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(document, dict):
        each = cast("dict[Any, Any]", document).items()
    elif isinstance(document, list):
        each = enumerate(cast("list[Any]", document))
    else:
        return [where]
    found = [where] if where else []
    return found + [place for name, inner in each for place in places(inner, (*where, name))]


@st.composite
def spoilt(draw: st.DrawFn) -> tuple[str, dict[str, str], bytes]:
    kind, headers, document = draw(st.sampled_from(DELIVERIES))
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(0, 4))):
        where = draw(st.sampled_from(places(document)))
        inside = document
        for name in where[:-1]:
            inside = inside[name]
        if draw(st.booleans()) and isinstance(inside, dict):
            cast("dict[Any, Any]", inside).pop(where[-1], None)
        else:
            inside[where[-1]] = copy.deepcopy(draw(SPOILT))
        if not places(document):
            break
    return kind, headers, json.dumps(document).encode("utf-8", "surrogatepass")


MONEY = re.compile(r"-?\d{1,30}(\.\d{1,30})?")
NAME = re.compile(r"(contact|cart|checkout|order|product|page|subscription|privacy)\.[a-z_]+")
CUSTOM = re.compile(r"custom\.[a-z0-9_]{1,100}")


def check(event: Event) -> None:
    """As SURFACE shapes a canonical event."""
    again = decode_event(encode_event(event))
    assert again.id == event.id
    assert NAME.fullmatch(event.name) or CUSTOM.fullmatch(event.name), event.name
    assert event.occurred_at.utcoffset() == dt.timedelta(0)
    for identifier in event.identifiers:
        assert identifier.value == identifier.value.strip()
        assert 0 < len(identifier.value) <= 300
    if event.object is not None:
        assert isinstance(event.object.id, str)
    shown = msgspec.json.decode(encode_event(event))
    text = json.dumps(shown, ensure_ascii=False)
    assert "\x00" not in text
    text.encode()  # no lone surrogate
    if event.name.startswith("custom."):
        return  # in the words of whoever sent it
    _check_money(shown["data"].get("total"))
    items = shown["data"].get("items")
    assert items is None or isinstance(items, list)
    for item in cast("list[dict[str, Any]]", items or []):
        _check_money(item.get("price"))
        assert item.get("quantity") is None or isinstance(item["quantity"], int | float)


def _check_money(value: Any) -> None:
    if value is None:
        return
    assert isinstance(value, dict), value
    fields = cast("dict[str, Any]", value)
    assert fields.keys() == {"amount", "currency"}
    assert MONEY.fullmatch(fields["amount"]), fields
    currency = fields["currency"]
    assert currency is None or re.fullmatch(r"[A-Z]{3}", currency), fields


def normalised(kind: str, headers: dict[str, str], body: bytes) -> list[Normalised]:
    known = REGISTRY[kind]
    links = Links(frozenset({"shop.example"}), known.vendor_hosts)
    if kind == "segment":
        parts = [(body, headers)]
    else:
        parts = [(p.body, p.headers) for p in deliveries(known, {}, body, list(headers.items()))]
    return [
        known.understands({})(raw(kind, content, headers=kept), links) for content, kept in parts
    ]


@settings(
    max_examples=1500,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(delivery=spoilt())
def test_a_spoilt_delivery_is_understood_or_refused_and_what_leaves_is_well_formed(
    delivery: tuple[str, dict[str, str], bytes],
) -> None:
    kind, headers, body = delivery
    entity = REGISTRY[kind].entity(body, list(headers.items()))
    assert entity is None or isinstance(entity, str)
    try:
        found = normalised(kind, headers, body)
    except (Unreadable, NotABatch):
        return
    for each in found:
        for fact in each.facts:
            check(fact.event)


@pytest.mark.parametrize("number", range(len(DELIVERIES)))
def test_the_deliveries_themselves_are_understood(number: int) -> None:
    kind, headers, document = DELIVERIES[number]
    (found,) = normalised(kind, headers, json.dumps(document).encode())
    topic = headers.get("x-shopify-topic") or document.get("scope")
    if topic not in {"app/uninstalled", "customers/merge", "fulfillments/create"}:
        assert found.facts, (kind, headers, found.warnings)
    assert all(fact.event.received_at == NOW for fact in found.facts)
