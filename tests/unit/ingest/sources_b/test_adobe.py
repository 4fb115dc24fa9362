import base64
import json
from typing import Any

import pytest

from chappe.events import Event
from chappe_ingest.domain.sources import adobe
from tests.unit.ingest.shop import NOW, at
from tests.unit.ingest.sources_b.made import b64, events, named, pem, rsa_signature, understood

OBSERVER = "com.adobe.commerce.observer."


def event(type_: str, value: Any, **fields: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": "ev-1",
        "source": "urn:uuid:s",
        "type": type_,
        "time": at(-1),
        "recipient_client_id": "client-1",
        "data": {"key": "k", "value": value, "_metadata": {"storeId": "1"}},
    } | fields


def order(**fields: Any) -> dict[str, Any]:
    return {
        "entity_id": "31",
        "increment_id": "000000031",
        "quote_id": 55,
        "customer_id": "8",
        "customer_email": "zoe@example.com",
        "customer_firstname": "Zoé",
        "customer_lastname": "Roux",
        "state": "new",
        "grand_total": "49.9000",
        "subtotal": 45,
        "order_currency_code": "EUR",
        "coupon_code": "SUMMER",
        "created_at": "2026-11-22 08:00:00",
        "updated_at": "2026-11-22 08:30:00",
        "billing_address": {"telephone": "+33 612345678", "country_id": "fr"},
        "items": [
            {
                "item_id": 1,
                "product_id": "9",
                "sku": "L-1-R",
                "name": "Lampe",
                "qty_ordered": "2.0000",
                "price": "22.5000",
            },
            {"item_id": 2, "parent_item_id": 1, "sku": "L-1-R", "name": "Lampe rouge"},
        ],
    } | fields


def of_order(**fields: Any) -> dict[str, Event]:
    return named(adobe.normalise, event(f"{OBSERVER}sales_order_save_after", order(**fields)))


def test_an_order_gives_the_shape_that_templates_rely_on() -> None:
    placed = of_order()["order.placed"]
    assert placed.data == {
        "order_id": "31",
        "number": "000000031",
        "total": {"amount": "49.90", "currency": "EUR"},
        "subtotal": {"amount": "45", "currency": "EUR"},
        "cart_token": "atelier:55",
        "items": [
            {
                "product_id": "9",
                "variant_id": None,
                "sku": "L-1-R",
                "title": "Lampe",
                "quantity": 2,
                "price": {"amount": "22.50", "currency": "EUR"},
            }
        ],
        "discount_codes": ["SUMMER"],
        "status": "new",
    }
    assert placed.occurred_at.isoformat() == "2026-11-22T08:00:00+00:00"
    assert placed.identifier("email") == "zoe@example.com"
    assert placed.identifier("external_id") == "atelier:8"
    assert placed.identifier("phone") == "+33612345678"
    assert placed.identifier("cart_token") == "atelier:55"
    assert placed.traits == {"first_name": "Zoé", "last_name": "Roux", "country": "FR"}


STEPS: list[tuple[dict[str, Any], set[str]]] = [
    ({}, {"order.placed"}),
    ({"state": "pending_payment"}, set()),
    ({"state": "processing", "total_paid": "49.9000"}, {"order.placed", "order.paid"}),
    ({"state": "processing", "total_paid": "10"}, {"order.placed"}),
    ({"state": "complete"}, {"order.placed", "order.paid", "order.fulfilled"}),
    ({"state": "canceled", "total_paid": None}, {"order.cancelled"}),
]


@pytest.mark.parametrize(("fields", "expected"), STEPS)
def test_an_order_shows_every_step_it_has_taken(fields: dict[str, Any], expected: set[str]) -> None:
    assert set(of_order(**fields)) == expected | {"order.updated"}


@pytest.mark.parametrize(
    ("type_", "value", "name"),
    [
        (f"{OBSERVER}sales_order_place_after", order(state="pending_payment"), "order.placed"),
        (
            "com.adobe.commerce.plugin.magento.sales.api.order_management.place",
            order(),
            "order.placed",
        ),
        (f"{OBSERVER}checkout_submit_all_after", {"order": order()}, "order.placed"),
        (f"{OBSERVER}order_cancel_after", {"order": order(state="canceled")}, "order.cancelled"),
        (f"{OBSERVER}sales_order_invoice_pay", {"order_id": "31"}, "order.paid"),
        (
            f"{OBSERVER}sales_order_invoice_save_after",
            {"order_id": "31", "state": 1},
            "order.updated",
        ),
        (f"{OBSERVER}sales_order_shipment_save_after", {"order_id": 31}, "order.fulfilled"),
        (
            f"{OBSERVER}sales_order_creditmemo_save_after",
            {"entity_id": 3, "order_id": "31"},
            "order.refunded",
        ),
        (
            f"{OBSERVER}catalog_product_save_commit_after",
            {"sku": "L-1", "name": "Lampe"},
            "custom.product_saved",
        ),
        (f"{OBSERVER}catalog_product_delete_after", {"entity_id": 9}, "custom.product_saved"),
        (
            "com.adobe.commerce.shop1.observer.catalog_product_save_after",
            {"sku": "L"},
            "custom.product_saved",
        ),
        (f"{OBSERVER}customer_delete_after", {"entity_id": 8}, "contact.deleted"),
        (f"{OBSERVER}customer_register_success", {"customer": {"id": 8}}, "contact.created"),
        (
            "com.adobe.commerce.plugin.magento.customer.api.customer_repository.save",
            {"id": 8, "email": "a@example.com"},
            "contact.updated",
        ),
    ],
)
def test_observers_and_plugins_say_the_same(type_: str, value: Any, name: str) -> None:
    found = named(adobe.normalise, event(type_, value))
    assert name in found
    assert found[name].identifiers


def test_a_paper_of_an_order_means_the_order() -> None:
    paid = named(adobe.normalise, event(f"{OBSERVER}sales_order_invoice_pay", {"order_id": "31"}))[
        "order.paid"
    ]
    assert paid.id == of_order(state="processing", total_paid="49.90")["order.paid"].id


def test_a_refund_is_known_by_its_credit_memo() -> None:
    memo = {"entity_id": 3, "order_id": "31", "grand_total": "9.5", "order_currency_code": "EUR"}
    made = event(f"{OBSERVER}sales_order_creditmemo_save_after", memo)
    (refund,) = understood(adobe.normalise, made).facts
    assert refund.meaning == "order.refunded atelier 3"
    assert refund.event.data["total"] == {"amount": "9.50", "currency": "EUR"}


def test_a_customer_just_made_is_a_signup() -> None:
    def of_customer(updated: str) -> Event:
        value = {
            "entity_id": 8,
            "email": "zoe@example.com",
            "firstname": "Zoé",
            "created_at": "2026-11-22 08:00:00",
            "updated_at": updated,
        }
        (found,) = events(adobe.normalise, event(f"{OBSERVER}customer_save_commit_after", value))
        return found

    assert of_customer("2026-11-22 08:00:01").name == "contact.created"
    assert of_customer("2026-11-22 08:10:00").name == "contact.updated"
    assert of_customer("2026-11-22 08:10:00").traits == {"first_name": "Zoé"}


@pytest.mark.parametrize(
    ("status", "state"), [(1, "subscribed"), ("2", "pending"), (3, "unsubscribed"), (9, None)]
)
def test_a_newsletter_subscriber_is_consent(status: object, state: str | None) -> None:
    value = {
        "subscriber_email": "zoe@example.com",
        "subscriber_status": status,
        "change_status_at": "2026-11-22 08:00:00",
    }
    found = events(
        adobe.normalise, event(f"{OBSERVER}newsletter_subscriber_save_commit_after", value)
    )
    said = [each.traits["consent"]["email"]["state"] for each in found]
    assert said == ([] if state is None else [state])


def test_a_quote_is_a_cart_and_a_used_one_is_completed() -> None:
    quote = {
        "entity_id": 55,
        "customer_email": None,
        "is_active": 1,
        "quote_currency_code": "EUR",
        "grand_total": "22.5",
        "items": [{"sku": "L", "qty": 1, "price": 22.5}],
        "updated_at": "2026-11-22 08:30:00",
    }
    made = event(f"{OBSERVER}sales_quote_save_after", quote)
    (cart,) = events(adobe.normalise, made)
    assert (cart.name, cart.data["cart_token"]) == ("cart.updated", "atelier:55")
    assert "completed" not in cart.data
    (used,) = events(
        adobe.normalise, event(f"{OBSERVER}sales_quote_save_after", quote | {"is_active": "0"})
    )
    assert used.data["completed"] is True


def test_an_unknown_type_is_stored_and_says_so() -> None:
    found = understood(adobe.normalise, event(f"{OBSERVER}admin_login", {}))
    assert not found.facts
    assert "stored" in found.warnings[0]


def test_a_synchronous_webhook_is_known_by_what_it_carries() -> None:
    assert "order.placed" in named(adobe.normalise, {"order": order()})


def signed(body: bytes, *names: str, header: str = "x-adobe-digital-signature-1") -> Any:
    return [(header, b64(rsa_signature(body, name))) for name in names]


BODY = b'{"type":"x","recipient_client_id":"client-1"}\r\n'


def test_an_event_is_known_by_adobe_s_signature() -> None:
    assert adobe.verify(BODY, signed(BODY, "a"), [pem("a")], NOW).verified
    second = signed(BODY, "a", header="x-adobe-digital-signature-2")
    assert adobe.verify(BODY, second, [pem("b") + "\n" + pem("a")], NOW).verified
    assert not adobe.verify(BODY + b" ", signed(BODY, "a"), [pem("a")], NOW).verified
    assert not adobe.verify(BODY, signed(BODY, "b"), [pem("a")], NOW).verified


def test_a_commerce_webhook_signs_the_base64_of_its_body() -> None:
    header = "x-adobe-commerce-webhook-signature"
    headers = signed(base64.b64encode(BODY), "a", header=header)
    assert adobe.verify(BODY, headers, [pem("a")], NOW).verified
    assert not adobe.verify(BODY, signed(BODY, "a", header=header), [pem("a")], NOW).verified


def test_an_event_for_somebody_else_is_refused() -> None:
    check = adobe.make_verify({"client_id": "client-1"})
    assert check(BODY, signed(BODY, "a"), [pem("a")], NOW).verified
    foreign = BODY.replace(b"client-1", b"client-2")
    said = check(foreign, signed(foreign, "a"), [pem("a")], NOW)
    assert "another project" in (said.reason or "")
    batch = b"[" + BODY + b"," + foreign + b"]"
    assert not check(batch, signed(batch, "a"), [pem("a")], NOW).verified


@pytest.mark.parametrize("value", ["", "é", "====", "AAA", "x" * 100_000, b64(b"0" * 256)])
def test_a_hostile_signature_is_refused_and_never_raises(value: str) -> None:
    headers = [("x-adobe-digital-signature-1", value)]
    for secret in (pem("a"), "not a pem", "-----BEGIN PUBLIC KEY-----", ""):
        said = adobe.verify(BODY, headers, [secret], NOW)
        assert not said.verified
        assert said.reason


def test_a_challenge_is_answered_and_nothing_else_is_echoed() -> None:
    answer = adobe.handshake("GET", [], "x=1&challenge=8ec8d794-e0ab")
    assert answer is not None
    assert answer[:2] == (200, b"8ec8d794-e0ab")
    for query in ("", "challenge=", "challenge=%3Cscript%3E", "challenge=" + "a" * 500):
        assert adobe.handshake("GET", [], query) is None
    assert adobe.handshake("POST", [], "challenge=a") is None


def test_a_batch_is_taken_apart() -> None:
    batch = json.dumps([event("a", {}), event("b", {})]).encode()
    parts = adobe.split(batch, [("content-type", "application/json")])
    assert [json.loads(body)["type"] for body, _ in parts] == ["a", "b"]
    assert len(adobe.split(BODY, [])) == 1


def test_the_place_in_the_order_is_the_cart() -> None:
    assert adobe.entity(json.dumps(event("a", order())).encode(), []) == "55"
    assert adobe.entity(b"", []) is None
