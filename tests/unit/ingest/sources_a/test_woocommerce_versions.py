"""WooCommerce's older webhooks, and the statuses that shops add."""

import datetime as dt
import json
from typing import Any

import pytest

from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Normalised
from chappe_ingest.domain.sources import woocommerce as adapter
from tests.unit.ingest.shop import NOW, at, raw
from tests.unit.ingest.sources_a.told import identifiers, money, named, names, only


def told(topic: str, body: Any) -> Normalised:
    headers = {"x-wc-webhook-topic": topic} if topic else {}
    return adapter.normalise(raw("woocommerce", body, headers=headers, namespace="rose"), Links())


def legacy(**fields: Any) -> dict[str, Any]:
    """As "Legacy API v3" wraps an order."""
    return {
        "order": {
            "id": 31,
            "order_number": "R-31",
            "created_at": at(-10),
            "updated_at": at(-5),
            "completed_at": "1970-01-01T00:00:00Z",
            "status": "processing",
            "currency": "EUR",
            "total": "25.91",
            "subtotal": "20.00",
            "total_discount": "1.00",
            "total_shipping": "5.91",
            "payment_details": {"method_id": "x", "method_title": "Card", "paid": True},
            "billing_address": {"first_name": "Zoé", "email": "zoe@example.com", "country": "FR"},
            "customer_id": 4,
            "line_items": [
                {"product_id": 9, "name": "Lampe", "quantity": 1, "price": "20.00", "sku": "L"}
            ],
            "coupon_lines": [{"id": 1, "code": "ete", "amount": "1.00"}],
        }
        | fields
    }


@pytest.mark.parametrize("topic", ["order.created", "order.updated", ""])
def test_a_legacy_order_is_read_as_today_s(topic: str) -> None:
    found = told(topic, legacy())
    assert names(found)[:2] == ["order.placed", "order.paid"]
    assert "order.fulfilled" not in names(found)
    placed = named(found, "order.placed")
    assert placed.occurred_at == NOW - dt.timedelta(minutes=10)
    assert named(found, "order.paid").occurred_at == NOW - dt.timedelta(minutes=5)
    assert (placed.data["order_id"], placed.data["number"]) == ("31", "R-31")
    assert placed.data["total"] == money("25.91")
    assert placed.data["subtotal"] == money("20.00")
    assert placed.data["shipping"] == money("5.91")
    assert placed.data["discount_codes"] == ["ete"]
    assert placed.data["items"][0]["product_id"] == "9"
    assert {("external_id", "rose:4"), ("email", "zoe@example.com")} <= identifiers(found)


def test_a_legacy_order_that_is_done_is_fulfilled_when_it_says() -> None:
    found = told("order.updated", legacy(status="completed", completed_at=at(-1)))
    assert named(found, "order.fulfilled").occurred_at == NOW - dt.timedelta(minutes=1)


def test_a_legacy_order_has_a_place_in_the_order() -> None:
    body = json.dumps(legacy()).encode()
    assert adapter.entity(body, [("x-wc-webhook-topic", "order.updated")]) == "31"


def test_a_legacy_customer_is_a_contact() -> None:
    body = {"customer": {"id": 4, "email": "zoe@example.com", "created_at": at(-3)}}
    event = only(told("customer.created", body))
    assert (event.name, event.identifier("external_id")) == ("contact.created", "rose:4")
    assert event.occurred_at == NOW - dt.timedelta(minutes=3)


@pytest.mark.parametrize(
    ("status", "paid", "wanted"),
    [
        ("pending", None, ["order.updated"]),
        ("failed", None, ["order.updated"]),
        ("trash", None, ["order.updated"]),
        ("wc-preparing", None, ["order.updated"]),
        ("preparing", at(-1), ["order.placed", "order.paid", "order.updated"]),
        ("on-hold", None, ["order.placed", "order.updated"]),
        ("cancelled", None, ["order.cancelled", "order.updated"]),
        ("completed", at(-1), ["order.placed", "order.paid", "order.fulfilled", "order.updated"]),
        ("checkout-draft", None, []),
        ("auto-draft", None, []),
    ],
)
def test_a_status_shows_its_steps(status: str, paid: str | None, wanted: list[str]) -> None:
    body = {
        "id": 1,
        "status": status,
        "date_created_gmt": at(-9),
        "date_modified_gmt": at(-1),
        "date_paid_gmt": paid,
        "billing": {"email": "zoe@example.com"},
    }
    assert names(told("order.updated", body)) == wanted


def test_each_refund_of_an_order_is_its_own_with_a_positive_amount() -> None:
    body = {
        "id": 900,
        "status": "processing",
        "currency": "JPY",
        "date_modified_gmt": at(-1),
        "refunds": [
            {"id": 901, "reason": "", "total": "-1500"},
            {"id": 902, "reason": "cass&eacute;", "total": "-3000"},
        ],
    }
    found = told("order.updated", body)
    back = [fact.event.data for fact in found.facts if fact.event.name == "order.refunded"]
    assert [each["total"] for each in back] == [money("1500", "JPY"), money("3000", "JPY")]
    assert [each["refund_id"] for each in back] == ["901", "902"]
    assert [each["reason"] for each in back] == [None, "cassé"]
    again = told("order.updated", body | {"date_modified_gmt": at(0)})
    assert [f.meaning for f in found.facts][:3] == [f.meaning for f in again.facts][:3]


@pytest.mark.parametrize(
    "topic", ["coupon.created", "product.updated", "action.woocommerce_add_to_cart"]
)
def test_coupons_products_and_actions_are_stored_and_tell_nothing(topic: str) -> None:
    assert told(topic, {"id": 1, "action": "x", "arg": "y"}).facts == ()
