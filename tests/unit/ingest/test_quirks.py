"""What real senders get wrong, each once: no delivery is lost over it."""

import datetime as dt
import json
from typing import Any

import pytest

from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Normalised
from chappe_ingest.domain.sources import (
    bigcommerce,
    saleor,
    segment,
    shopify,
    stripe,
    woocommerce,
)
from tests.unit.ingest.shop import NOW, at, checkout, customer, order, raw
from tests.unit.ingest.shop import segment as call
from tests.unit.ingest.shop import shopify as webhook
from tests.unit.ingest.sources_a.told import identifiers, money, names, only


def told(topic: str, body: Any) -> Normalised:
    return shopify.normalise(webhook(topic, body), Links())


def woo(topic: str, body: Any) -> Normalised:
    headers = {"x-wc-webhook-topic": topic, "x-wc-webhook-id": "3"}
    return woocommerce.normalise(raw("woocommerce", body, headers=headers), Links())


def charged(kind: str, about: Any, **more: Any) -> Normalised:
    body = {"id": "evt_1", "type": kind, "livemode": True, "data": {"object": about}} | more
    return stripe.normalise(raw("stripe", body, headers={}, namespace="caisse"), Links())


def track(event: str, properties: Any, **more: Any) -> Normalised:
    body = {"event": event, "userId": "u1", "properties": properties} | more
    return segment.normalise(call("track", body), Links())


def test_1_the_order_s_address_is_not_the_account_s() -> None:
    body = order(1, "jon@example.com", customer=customer(7, "john@example.com"))
    assert only(told("orders/create", body)).identifier("email") == "jon@example.com"


@pytest.mark.parametrize("address", [[], None, "", {}])
def test_2_an_address_may_be_an_empty_list(address: Any) -> None:
    found = told("checkouts/create", checkout("t", "a@example.com", shipping_address=address))
    assert names(found) == ["checkout.started"]
    assert found.warnings == ()


@pytest.mark.parametrize("properties", [None, {}, []])
def test_3_properties_may_be_nothing_in_three_ways(properties: Any) -> None:
    line = {"title": "Lampe", "quantity": 1, "price": "1.00", "properties": properties}
    assert told("orders/create", order(1, None, line_items=[line])).warnings == ()
    assert names(track("Order Completed", properties)) == ["order.placed"]


def test_4_a_time_nobody_can_read_falls_back_and_keeps_the_event() -> None:
    bad = "2024-09-16T03:50:1500:00"
    found = told("orders/create", order(1, None, processed_at=bad, created_at=at(-7)))
    assert only(found).occurred_at == NOW - dt.timedelta(minutes=7)
    assert found.warnings == ("processed_at: no readable time, left out",)


def test_5_a_month_without_its_nought_is_a_month() -> None:
    found = track("X", {}, timestamp="2015-2-02T00:30:08.276Z")
    assert only(found).occurred_at == dt.datetime(2015, 2, 2, 0, 30, 8, 276000, tzinfo=dt.UTC)
    assert only(found).flags.historical


def test_6_offsets_mix_within_one_order() -> None:
    body = order(
        1,
        None,
        processed_at="2026-11-22T03:00:00-05:00",
        updated_at="2026-11-22T14:15:00+05:30",
        financial_status="paid",
    )
    at_utc = {fact.event.name: fact.event.occurred_at for fact in told("orders/paid", body).facts}
    assert at_utc["order.placed"] == dt.datetime(2026, 11, 22, 8, 0, tzinfo=dt.UTC)
    assert at_utc["order.paid"] == dt.datetime(2026, 11, 22, 8, 45, tzinfo=dt.UTC)


def test_7_amounts_are_exact_however_they_are_written() -> None:
    for text, currency in (("600.00", "EUR"), ("20", "VND"), ("2.000", "KWD")):
        body = order(1, None, total_price=text, currency=currency)
        assert only(told("orders/create", body)).data["total"] == money(text, currency)
    line = {"name": "Thé", "price": 3, "quantity": 1}
    bought = woo("order.created", {"id": 1, "status": "processing", "line_items": [line]})
    assert only(bought).data["items"][0]["price"] == money("3", None)
    paid = charged("payment_intent.succeeded", {"id": "pi", "amount": 1900, "currency": "jpy"})
    assert only(paid).data["total"] == money("1900", "JPY")
    text = '{"order": {"id": "a", "total": {"gross": {"amount": 79.99, "currency": "EUR"}}}}'
    placed = saleor.normalise(
        raw("saleor", text.encode(), headers={"saleor-event": "order_created"}), Links()
    )
    assert only(placed).data["total"] == money("79.99")


def test_8_a_rounded_number_is_taken_from_the_global_id() -> None:
    text = json.dumps(
        order(0, None) | {"admin_graphql_api_id": "gid://shopify/Order/820982911946154508"}
    )
    body = text.replace('"id": 0', '"id": 820982911946154500').encode()
    assert only(told("orders/create", body)).data["order_id"] == "820982911946154508"
    plain = {"order_id": 820982911946154508, "id": 9007199254740993}
    assert only(told("refunds/create", plain)).data["order_id"] == "820982911946154508"
    assert only(told("refunds/create", plain)).data["refund_id"] == "9007199254740993"


def test_9_a_cart_without_lines_was_emptied() -> None:
    event = only(told("carts/update", {"token": "c", "line_items": [], "updated_at": at(-1)}))
    assert (event.name, event.data["emptied"], event.data["items"]) == ("cart.updated", True, [])


def test_10_a_woocommerce_guest_has_no_number_and_staff_get_no_welcome() -> None:
    guest = {
        "id": 1,
        "status": "processing",
        "customer_id": 0,
        "billing": {"email": "Zoe@Example.com", "first_name": "Zo&eacute;", "phone": ""},
    }
    found = woo("order.created", guest)
    assert {kind for kind, _ in identifiers(found)} == {"email", "object"}
    assert only(found).traits["first_name"] == "Zoé"
    staff = {"id": 2, "email": "boss@example.com", "role": "administrator"}
    assert names(woo("customer.created", staff)) == ["contact.updated"]


def test_11_a_refund_without_a_customer_joins_its_order() -> None:
    refund = told("refunds/create", {"id": 9, "order_id": 1, "transactions": []})
    bought = told("orders/create", order(1, "a@example.com"))
    assert identifiers(refund) < identifiers(bought)
    assert only(refund).data["total"] == money("0", None)


def test_12_an_upcoming_invoice_has_no_number() -> None:
    body = {"customer_email": "a@example.com", "currency": "eur", "amount_due": 900}
    event = only(charged("invoice.upcoming", body))
    assert (event.name, event.data["total"]) == ("subscription.renewing", money("9.00"))
    assert event.object is None


def test_13_a_session_has_no_items_of_its_own() -> None:
    body = {"id": "cs_1", "payment_status": "paid", "amount_total": 900, "currency": "eur"}
    found = charged("checkout.session.completed", body)
    assert only(found).data["items"] == []
    assert found.hydration is not None


@pytest.mark.parametrize("state", [None, "", "not_subscribed", "invalid"])
def test_14_consent_that_says_nothing_changes_nothing(state: str | None) -> None:
    body = {
        "customer_id": 4,
        "email_address": None,
        "email_marketing_consent": {"state": state, "consent_updated_at": None},
    }
    event = only(told("customers_email_marketing_consent/update", body))
    assert event.name == "contact.consent_changed"
    assert "consent" not in event.traits
    assert event.identifier("external_id") == "atelier:4"


@pytest.mark.parametrize(
    ("scope", "name"),
    [("store/customer/created", "contact.created"), ("store/customer/updated", "contact.updated")],
)
def test_15_the_scope_alone_says_what_happened(scope: str, name: str) -> None:
    body = {"scope": scope, "data": {"type": "customer", "id": 32}, "created_at": 1}
    found = bigcommerce.normalise(raw("bigcommerce", body, headers={}), Links())
    assert names(found) == [name]


def test_16_event_names_come_in_any_case_and_categories_in_any_form() -> None:
    for spoken in ("Product Viewed", "PRODUCT VIEWED", "product_viewed", "viewed product"):
        for more in ({"category": "Games"}, {"categories": ["Games"]}):
            event = only(
                track(spoken, {"product_id": "p", "price": 18.99, "currency": "usd"} | more)
            )
            assert event.name == "product.viewed"
            assert event.data["price"] == money("18.99", "USD")


def test_17_a_blank_for_the_t_and_words_for_a_price_do_not_stop_an_event() -> None:
    found = told(
        "orders/create",
        order(
            1,
            None,
            processed_at="2019-01-01 00:00:00.000Z",
            line_items=[{"title": "Lampe", "quantity": 1, "price": "example string"}],
        ),
    )
    assert only(found).occurred_at == dt.datetime(2019, 1, 1, tzinfo=dt.UTC)
    assert only(found).data["items"][0]["price"] is None
    assert any("price" in each for each in found.warnings)


def test_18_two_orders_of_one_second_are_two_deliveries() -> None:
    bodies = [{"id": n, "status": "processing", "date_modified_gmt": at()} for n in (1, 2)]
    one, two = (woo("order.created", body) for body in bodies)
    assert one.delivery != two.delivery
    assert one.delivery == woo("order.created", bodies[0]).delivery


def test_19_tests_are_marked() -> None:
    assert only(told("orders/create", order(1, None, test=True))).flags.test
    paid = charged("payment_intent.succeeded", {"id": "pi", "amount": 1}, livemode=False)
    assert only(paid).flags.test
    assert not only(told("orders/create", order(1, None))).flags.test


@pytest.mark.parametrize("source_name", ["pos", "shopify_draft_order"])
def test_20_an_order_that_staff_made_says_so(source_name: str) -> None:
    found = told("orders/create", order(1, None, source_name=source_name))
    assert only(found).data["source_name"] == source_name
