"""Stripe's objects moved between API versions: the same facts come of each."""

from typing import Any

import pytest

from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Hydration, Normalised
from chappe_ingest.domain.sources import stripe as adapter
from tests.unit.ingest.shop import at, raw
from tests.unit.ingest.sources_a.told import epoch, identifiers, money, only


def told(kind: str, about: Any, **fields: Any) -> Normalised:
    body = {
        "id": "evt_1",
        "object": "event",
        "type": kind,
        "created": epoch(-1),
        "livemode": True,
        "data": {"object": about},
    } | fields
    return adapter.normalise(raw("stripe", body, headers={}, namespace="caisse"), Links())


OLD_LINE = {
    "amount": 4500,
    "quantity": 1,
    "description": "1 x Thé",
    "price": {"id": "price_1", "product": "prod_1", "unit_amount": 4500},
}
NEW_LINE = {
    "amount": 4500,
    "quantity": 1,
    "description": "1 x Thé",
    "pricing": {
        "price_details": {"price": "price_1", "product": "prod_1"},
        "unit_amount_decimal": "4500",
    },
    "parent": {"subscription_item_details": {"subscription": "sub_1"}},
}


@pytest.mark.parametrize(
    "moved",
    [
        {"subscription": "sub_1", "lines": {"data": [OLD_LINE]}},
        {
            "parent": {"subscription_details": {"subscription": "sub_1"}},
            "lines": {"data": [NEW_LINE]},
        },
        {"parent": None, "lines": {"data": [NEW_LINE]}},
    ],
)
def test_an_invoice_names_its_subscription_and_prices_in_every_version(moved: Any) -> None:
    body = {
        "id": "in_1",
        "customer": "cus_1",
        "customer_email": "zoe@example.com",
        "currency": "kwd",
        "amount_due": 5000,
        "amount_paid": 4500,
        "status_transitions": {"paid_at": epoch(-2)},
    } | moved
    found = told("invoice.paid", body)
    event = only(found)
    assert event.name == "order.paid"
    assert (event.data["order_id"], event.data["subscription_id"]) == ("in_1", "sub_1")
    assert event.data["total"] == money("4.500", "KWD")
    (line,) = event.data["items"]
    assert (line["product_id"], line["variant_id"]) == ("prod_1", "price_1")
    assert line["price"] == line["total"] == money("4.500", "KWD")
    assert ("object", "subscription caisse sub_1") in identifiers(found)


@pytest.mark.parametrize(
    ("currency", "amount"),
    [("jpy", "1900"), ("krw", "1900"), ("kwd", "1.900"), ("bhd", "1.900"), ("isk", "19.00")],
)
def test_a_refund_is_exact_in_every_currency(currency: str, amount: str) -> None:
    body = {"id": "re_1", "amount": 1900, "currency": currency, "charge": "ch", "status": "pending"}
    assert only(told("refund.created", body)).data["total"] == money(amount, currency.upper())


@pytest.mark.parametrize("data", [None, {}, {"customer": "cus_1"}])
def test_a_thin_event_is_known_by_its_related_object(data: Any) -> None:
    thin = {
        "id": "evt_2",
        "object": "v2.core.event",
        "type": "v1.customer.updated",
        "created": at(-1),
        "livemode": True,
        "related_object": {"id": "cus_1", "type": "customer", "url": "/v1/customers/cus_1"},
        "data": data,
    }
    found = adapter.normalise(raw("stripe", thin, headers={}, namespace="caisse"), Links())
    assert only(found).name == "contact.updated"
    assert ("external_id", "caisse:cus_1") in identifiers(found)
    assert found.hydration == Hydration("/v1/customers/cus_1")


@pytest.mark.parametrize(
    ("kind", "status", "name"),
    [
        ("checkout.session.completed", "paid", "order.placed"),
        ("checkout.session.completed", "no_payment_required", "order.placed"),
        ("checkout.session.completed", "unpaid", "checkout.updated"),
        ("checkout.session.async_payment_succeeded", "paid", "order.placed"),
        ("checkout.session.async_payment_failed", "unpaid", "checkout.updated"),
        ("checkout.session.expired", "unpaid", "checkout.expired"),
    ],
)
def test_a_session_s_end_by_its_payment(kind: str, status: str, name: str) -> None:
    body = {
        "id": "cs_1",
        "mode": "payment",
        "payment_status": status,
        "currency": "eur",
        "amount_total": 1990,
        "customer_details": {"email": "zoe@example.com"},
    }
    event = only(told(kind, body, livemode=False, account="acct_1"))
    assert event.name == name
    assert event.flags.test
    assert event.data["checkout_token"] == "cs_1"
    assert event.data["total"] == money("19.90")
    assert event.data.get("completed") is (True if kind.endswith(("completed", "eded")) else None)


def test_a_session_s_promotion_code_is_known_once_it_is_expanded() -> None:
    body = {"id": "cs_1", "payment_status": "paid"}
    for given, codes in (("promo_1", None), ({"id": "promo_1", "code": "ETE"}, ["ETE"])):
        discounts = [{"coupon": None, "promotion_code": given}]
        found = told("checkout.session.completed", body | {"discounts": discounts})
        assert only(found).data.get("discount_codes") == codes
        assert found.warnings == ()


def test_a_subscription_that_will_end_has_not_ended() -> None:
    body = {"id": "sub_1", "customer": "cus_1", "status": "active", "cancel_at_period_end": True}
    event = only(told("customer.subscription.updated", body))
    assert event.name == "custom.subscription_updated"
    assert event.data["cancel_at_period_end"] is True
