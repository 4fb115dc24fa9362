"""Deliveries that name nobody reach the contact of the thing they are about."""

from typing import Any

from chappe.events import Event, RawRecord
from chappe_ingest.application.resolving import Held, Known, Outcome, Understood, decide, understand
from tests.unit.ingest.shop import at, order, raw, shopify
from tests.unit.ingest.sources_a.test_bigcommerce import notice
from tests.unit.ingest.sources_a.test_stripe import buyer, envelope, payment, subscription


class Shop:
    """One shop's deliveries, resolved one after the other."""

    def __init__(self) -> None:
        self.held = Held()

    def hears(self, delivery: RawRecord) -> list[Event]:
        found = understand(delivery, lambda _: Known())
        assert isinstance(found, Understood), found
        events = decide(found, self.held, Outcome())
        assert isinstance(events, list)
        return events


def test_a_shopify_refund_is_its_buyer_s() -> None:
    shop = Shop()
    (placed,) = shop.hears(shopify("orders/create", order(1001, "zoe@example.com")))
    body: dict[str, Any] = {"id": 7, "order_id": 1001, "processed_at": at(-1), "transactions": []}
    (refunded,) = shop.hears(shopify("refunds/create", body))
    assert refunded.name == "order.refunded"
    assert refunded.contact == placed.contact
    assert refunded.identifiers == ()


def test_a_refund_that_came_first_waits_for_its_buyer() -> None:
    shop = Shop()
    body: dict[str, Any] = {"id": 7, "order_id": 1001, "transactions": []}
    (refunded,) = shop.hears(shopify("refunds/create", body))
    (placed,) = shop.hears(shopify("orders/create", order(1001, "zoe@example.com")))
    assert refunded.contact == placed.contact
    assert placed.identifier("email") == "zoe@example.com"


def test_a_refund_seen_twice_is_told_once() -> None:
    shop = Shop()
    body: dict[str, Any] = {"id": 7, "order_id": 1001, "transactions": []}
    assert shop.hears(shopify("refunds/create", body))
    again = shop.hears(shopify("orders/updated", order(1001, "a@x.example", refunds=[body])))
    assert [event.name for event in again] == ["order.placed", "order.updated"]


def stripe(kind: str, number: str, about: object) -> RawRecord:
    return raw("stripe", envelope(kind, about, id=number), headers={}, namespace="caisse")


def test_a_stripe_subscription_and_a_guest_s_refund_are_their_buyer_s() -> None:
    shop = Shop()
    (joined,) = shop.hears(stripe("customer.created", "evt_1", buyer()))
    (subscribed,) = shop.hears(stripe("customer.subscription.created", "evt_2", subscription()))
    assert subscribed.contact == joined.contact
    (paid,) = shop.hears(stripe("payment_intent.succeeded", "evt_3", payment()))
    refund = {
        "id": "re_1",
        "amount": 5,
        "currency": "eur",
        "charge": "ch",
        "payment_intent": "pi_1",
    }
    (refunded,) = shop.hears(stripe("refund.created", "evt_4", refund))
    assert refunded.contact == paid.contact


def test_a_bigcommerce_parcel_is_its_order_s() -> None:
    shop = Shop()

    def told(scope: str, **data: object) -> list[Event]:
        body = notice(scope, **data)
        return shop.hears(raw("bigcommerce", body | {"hash": scope}, headers={}, namespace="q"))

    placed = told("store/order/statusUpdated", id=250, status={"new_status_id": 11})
    (fulfilled,) = told("store/shipment/created", id=3, orderId=250)
    assert fulfilled.name == "order.fulfilled"
    assert fulfilled.contact == placed[0].contact
