"""Shopify's Events: the headers without ``X-``, and a body that is not a webhook's."""

import datetime as dt
from typing import Any

import pytest

from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Normalised
from chappe_ingest.domain.sources import shopify as adapter
from tests.unit.ingest.shop import NOW, at, order, raw, shopify
from tests.unit.ingest.sources_a.told import identifiers, money, named, names, only

CUSTOMER = "gid://shopify/Customer/42"


def told(topic: str, action: str, **fields: Any) -> Normalised:
    headers = {
        "shopify-topic": topic,
        "shopify-event-id": "e-1",
        "shopify-triggered-at": at(-3),
    }
    body: dict[str, Any] = {
        "topic": topic,
        "action": action,
        "handle": "ours",
        "fields_changed": dict[str, Any](),
    } | fields
    return adapter.normalise(raw("shopify", body, headers=headers, namespace="atelier"), Links())


@pytest.mark.parametrize(
    "fields",
    [
        {"query_variables": {"customerId": CUSTOMER}},
        {"fields_changed": [f"customer[id: '{CUSTOMER}'].email"]},
        {"fields_changed": {"added": [], "updated": [f"customer[id: '{CUSTOMER}'].email"]}},
        {"data": {"customer": {"id": CUSTOMER}}},
    ],
)
def test_an_event_without_a_query_still_says_whom_it_is_about(fields: dict[str, Any]) -> None:
    event = only(told("Customer", "update", **fields))
    assert event.name == "contact.updated"
    assert event.identifier("external_id") == "atelier:42"
    assert event.occurred_at == NOW - dt.timedelta(minutes=3)


def test_an_event_s_query_gives_a_customer_in_full() -> None:
    customer = {
        "id": CUSTOMER,
        "firstName": "Zoé",
        "lastName": "Roux",
        "locale": "fr",
        "createdAt": at(-5),
        "tags": ["vip", "paris"],
        "defaultEmailAddress": {
            "emailAddress": "Zoe@Example.com",
            "marketingState": "SUBSCRIBED",
            "marketingUpdatedAt": at(-6),
        },
        "defaultPhoneNumber": {"phoneNumber": "+33612345678"},
        "defaultAddress": {"countryCodeV2": "FR"},
    }
    found = told("Customer", "create", data={"customer": customer})
    event = only(found)
    assert event.name == "contact.created"
    assert event.occurred_at == NOW - dt.timedelta(minutes=5)
    assert {("email", "zoe@example.com"), ("phone", "+33612345678")} <= identifiers(found)
    assert event.traits["consent"]["email"] == {"state": "subscribed", "at": at(-6)}
    assert (event.traits["first_name"], event.traits["locale"]) == ("Zoé", "fr")
    assert (event.traits["country"], event.traits["tags"]) == ("FR", ["vip", "paris"])


def test_an_event_s_order_is_the_webhook_s() -> None:
    amount = {"shopMoney": {"amount": "25.91", "currencyCode": "EUR"}}
    line = {
        "title": "Lampe",
        "quantity": 1,
        "originalUnitPriceSet": amount,
        "variant": {"id": "gid://shopify/ProductVariant/7"},
    }
    data = {
        "order": {
            "id": "gid://shopify/Order/1001",
            "name": "#1001",
            "email": "zoe@example.com",
            "processedAt": at(-9),
            "updatedAt": at(-4),
            "displayFinancialStatus": "PAID",
            "displayFulfillmentStatus": "UNFULFILLED",
            "totalPriceSet": amount,
            "discountCodes": ["ETE"],
            "lineItems": {"edges": [{"node": line}]},
        }
    }
    found = told("Order", "update", data=data)
    assert names(found) == ["order.placed", "order.paid", "order.updated"]
    placed = named(found, "order.placed")
    assert placed.occurred_at == NOW - dt.timedelta(minutes=9)
    assert placed.data["order_id"] == "1001"
    assert placed.data["total"] == money("25.91")
    assert placed.data["items"][0]["variant_id"] == "7"
    assert placed.data["items"][0]["price"] == money("25.91")
    assert placed.data["discount_codes"] == ["ETE"]
    webhook = adapter.normalise(shopify("orders/create", order(1001, "zoe@example.com")), Links())
    assert placed.id == named(webhook, "order.placed").id


@pytest.mark.parametrize("data", [None, [], "x", {"customer": []}, {"customer": {"tags": 4}}])
def test_an_event_with_odd_data_harms_nobody(data: Any) -> None:
    assert names(told("Customer", "delete", data=data)) == ["contact.deleted"]
    assert names(told("Order", "create", data=data)) == ["order.placed"]


def test_an_event_of_a_topic_nobody_needs_is_stored() -> None:
    found = told("Product", "update")
    assert found.facts == ()
    assert found.warnings == ("the event Product update is not understood yet; it is stored",)


def test_what_has_no_time_of_its_own_happened_when_shopify_triggered_it() -> None:
    headers = {"x-shopify-topic": "customers/delete", "x-shopify-triggered-at": at(-200)}
    found = adapter.normalise(raw("shopify", {"id": 4}, headers=headers), Links())
    assert only(found).occurred_at == NOW - dt.timedelta(minutes=200)
    future = headers | {"x-shopify-triggered-at": at(99)}
    assert (
        only(adapter.normalise(raw("shopify", {"id": 4}, headers=future), Links())).occurred_at
        == NOW
    )


@pytest.mark.parametrize("version", ["2023-07", "2024-10", "2025-01", "2026-04", "2026-07"])
def test_an_order_reads_alike_in_every_version(version: str) -> None:
    """Until 2023-10 ``accepts_marketing``, until 2024-10 consent objects, until 2026-01 ids."""
    customer: dict[str, Any] = {"id": 7, "email": "zoe@example.com"}
    if version < "2024-01":
        customer |= {"accepts_marketing": True, "accepts_marketing_updated_at": at(-60)}
    elif version < "2025-01":
        claim = {"state": "subscribed", "consent_updated_at": at(-60)}
        customer |= {"email_marketing_consent": claim}
    body = order(5, "zoe@example.com", "t5", customer=customer, buyer_accepts_marketing=False)
    if version < "2026-04":
        body |= {"checkout_id": 99}
    event = only(adapter.normalise(shopify("orders/create", body), Links()))
    assert event.data["checkout_token"] == "t5"
    assert event.identifier("external_id") == "atelier:7"
    consent = event.traits.get("consent")
    if version < "2025-01":
        assert consent == {"email": {"state": "subscribed", "at": at(-60)}}
    else:
        assert consent is None
