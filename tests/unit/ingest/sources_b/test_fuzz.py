"""No delivery, however strange, gives an adapter another exception than ``Unreadable``."""

import contextlib
import importlib.resources
import json
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chappe.events import encode_event
from chappe_ingest.domain.normalised import Normaliser
from chappe_ingest.domain.reading import Unreadable
from chappe_ingest.domain.sources import adobe, cloudevents, generic, saleor, shopware
from tests.unit.ingest.shop import NOW
from tests.unit.ingest.sources_b.made import understood

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        [
            "",
            "2026-11-22T08:00:00Z",
            "9999-12-31T23:59:59-23:59",
            "EUR",
            "49.90",
            "1e999",
            "a@example.com",
            "https://shop.example/x",
            "javascript:alert(1)",
            "Q2hlY2tvdXQ6MQ==",
            "FULFILLED",
            "\ud800",
            "\x00",
        ]
    )
    | st.text(max_size=20)
)


def documents(*names: str) -> st.SearchStrategy[Any]:
    """JSON in which the adapter's own field names come up often, with anything in them."""
    keys = st.sampled_from(names) | st.text(max_size=8)
    return st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=8),
        max_leaves=30,
    )


SALEOR = documents(
    *("order", "checkout", "user", "customer", "fulfillment", "payload", "notify_event", "meta"),
    *("id", "token", "total", "gross", "amount", "currency", "lines", "variant", "metadata"),
    *("created", "issuedAt", "status", "billingAddress", "country", "email", "event", "data"),
    *("languageCodeEnum", "checkoutId", "fulfillments", "key", "value", "totalRefunded"),
)
SHOPWARE = documents(
    *("order", "customer", "newsletterRecipient", "orderCustomer", "lineItems", "addresses"),
    *("deliveries", "transactions", "stateMachineState", "technicalName", "amountTotal", "price"),
    *("currency", "isoCode", "id", "email", "entity", "primaryKey", "updatedFields", "payload"),
    *("operation", "billingAddressId", "language", "locale", "code", "type", "cover", "url"),
)
ADOBE = documents(
    *("entity_id", "order_id", "quote_id", "customer_email", "grand_total", "total_paid", "state"),
    *("items", "qty_ordered", "price", "created_at", "updated_at", "customer", "order", "product"),
    *("billing_address", "addresses", "country_id", "quote_item", "is_active", "stock_data", "qty"),
    *("subscriber_status", "coupon_code", "order_currency_code", "sku", "parent_item_id"),
)
SHAPE = documents(
    *("order_id", "total", "amount", "currency", "items", "email", "customer", "traits", "data"),
    *("consent", "identifiers", "type", "value", "id", "checkout_token", "price", "product_id"),
    *("updated_at", "occurred_at", "state", "at", "subscription_id", "refund_id", "event"),
)


def survives(normalise: Normaliser, body: Any, headers: dict[str, str]) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode("utf-8", "surrogatepass")
    with contextlib.suppress(Unreadable):
        for fact in understood(normalise, raw, headers=headers).facts:
            encode_event(fact.event)
            assert fact.event.occurred_at <= NOW


calmly = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)

SALEOR_TOPICS = st.sampled_from(
    [
        "order_created",
        "order_paid",
        "order_fulfilled",
        "order_refunded",
        "order_fully_refunded",
        "fulfillment_created",
        "checkout_created",
        "checkout_updated",
        "customer_created",
        "customer_deleted",
        "notify_user",
        "",
    ]
)


@calmly
@given(SALEOR, SALEOR_TOPICS)
def test_saleor_survives_anything(payload: Any, topic: str) -> None:
    headers = {"saleor-event": topic}
    survives(saleor.normalise, payload, headers)
    survives(saleor.normalise, [payload], headers)
    for name in ("order", "checkout", "user", "fulfillment", "payload"):
        survives(saleor.normalise, {name: payload, "notify_event": "order_confirmation"}, headers)
    saleor.entity(json.dumps(payload).encode(), [])


SHOPWARE_EVENTS = st.sampled_from(
    [
        "checkout.order.placed",
        "state_enter.order_transaction.state.refunded_partially",
        "state_enter.order.state.completed",
        "checkout.customer.register",
        "newsletter.register",
        "product.written",
        "customer.written",
        "order.written",
    ]
)


@calmly
@given(SHOPWARE, SHOPWARE_EVENTS, SCALARS)
def test_shopware_survives_anything(payload: Any, event: str, timestamp: Any) -> None:
    for inside in (payload, [payload], {"order": payload}, {"customer": payload}):
        body = {"data": {"payload": inside, "event": event}, "timestamp": timestamp}
        survives(shopware.normalise, body, {"x-shopware-sequence": str(timestamp)})
    raw = json.dumps(payload).encode()
    shopware.entity(raw, [])
    shopware.verify(raw, [("shopware-shop-signature", str(timestamp))], ["s"], NOW)


ADOBE_TYPES = st.sampled_from(
    [
        "sales_order_save_after",
        "sales_order_creditmemo_save_after",
        "sales_order_invoice_save_after",
        "sales_order_shipment_save_after",
        "customer_save_commit_after",
        "newsletter_subscriber_save_after",
        "sales_quote_save_after",
        "checkout_cart_product_add_after",
        "catalog_product_save_after",
    ]
)


@calmly
@given(ADOBE, ADOBE_TYPES)
def test_adobe_survives_anything(value: Any, type_: str) -> None:
    body = {"type": f"com.adobe.commerce.observer.{type_}", "id": "1", "data": {"value": value}}
    survives(adobe.normalise, body, {})
    survives(adobe.normalise, value, {})
    adobe.entity(json.dumps(body).encode(), [])


@calmly
@given(SHAPE, st.sampled_from(sorted(generic.shape.NAMES)), SCALARS)
def test_cloudevents_and_plain_webhooks_survive_anything(data: Any, name: str, other: Any) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/", "type": name, "data": data}
    survives(cloudevents.normalise, event | {"subject": other, "time": other}, {})
    survives(cloudevents.normalise, data, {f"ce-{k}": str(v) for k, v in event.items()})
    survives(generic.normalise, {"type": name, "data": data, "timestamp": other}, {})
    survives(generic.normalise, data, {"x-event": name, "webhook-id": str(other)})
    for entity in (cloudevents.entity, generic.entity):
        entity(json.dumps(data).encode(), [])


EXAMPLES = importlib.resources.files("chappe_ingest") / "examples"
CONFIGS = {
    name: json.loads((EXAMPLES / f"{name}.json").read_text("utf-8"))
    for name in ("prestashop", "magento", "medusa", "home-made")
}


def words(config: Any) -> set[str]:
    """Every step of every path in a mapping."""
    if isinstance(config, str):
        return set(config.split("."))
    if isinstance(config, dict):
        config = list(cast("dict[str, Any]", config).values())
    inside = cast("list[Any]", config) if isinstance(config, list) else []
    return set[str]().union(*(words(each) for each in inside))


@pytest.mark.parametrize("name", sorted(CONFIGS))
@calmly
@given(st.data())
def test_a_mapping_survives_anything(name: str, data: st.DataObject) -> None:
    config = CONFIGS[name]
    body = data.draw(documents(*sorted(words(config))))
    event = data.draw(st.sampled_from(sorted(config["event"]["names"])))
    at = config["event"]["at"]
    key = at if isinstance(at, str) else at[-1]
    document: Any = body
    if isinstance(body, dict):
        document = {key: event, **cast("dict[str, Any]", body)}
    survives(generic.make_normaliser(config), document, {})


@calmly
@given(st.binary(max_size=60), st.text(max_size=40))
def test_bytes_and_headers_survive_too(body: bytes, value: str) -> None:
    for module in (saleor, shopware, adobe, cloudevents, generic):
        headers = dict.fromkeys(module.HEADERS, value)
        survives(module.normalise, body, headers)
        given_ = [(name, value) for name in (*module.HEADERS, "authorization", "x-signature")]
        assert not module.verify(body, given_, ["a secret"], NOW).verified
        module.entity(body, given_)
