import base64
import datetime as dt
import hashlib
import hmac
import json
from typing import Any

import pytest

from chappe.events import claim_of
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import ALARM, PAUSE_SOURCE, Hydration, Normalised
from chappe_ingest.domain.reading import Unreadable
from chappe_ingest.domain.sources import bigcommerce as adapter
from tests.unit.ingest.shop import NOW, raw
from tests.unit.ingest.sources_a.told import (
    epoch,
    identifiers,
    meanings,
    money,
    named,
    names,
    only,
)

OWN = Links(frozenset({"quincaillerie.example"}))
CART = "0c3b9f0e-6a5d-4f53-8a35-0f3f2a9f8d11"
SECRET = "client-secret"
BODY = b'{"scope":"store/order/created"}'


def notice(scope: str, **data: Any) -> dict[str, Any]:
    return {
        "scope": scope,
        "store_id": "77",
        "data": data,
        "hash": "5d41402abc4b2a76b9719d911017c592",
        "created_at": epoch(-2),
        "producer": "stores/abc",
    }


def delivery(scope: str, **data: Any) -> Any:
    return raw("bigcommerce", notice(scope, **data), headers={}, namespace="quincaillerie")


def told(scope: str, **data: Any) -> Normalised:
    return adapter.normalise(delivery(scope, **data), OWN)


def asked(scope: str, document: Any, **data: Any) -> Normalised:
    return adapter.hydrated(delivery(scope, **data), json.dumps(document).encode(), OWN)


def order(status: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": 250,
        "customer_id": 32,
        "status_id": status,
        "status": "Awaiting Fulfillment",
        "date_created": "Sun, 22 Nov 2026 08:30:00 +0000",
        "date_modified": "Sun, 22 Nov 2026 08:40:00 +0000",
        "total_inc_tax": "84.5000",
        "currency_code": "EUR",
        "payment_status": "",
        "cart_id": CART,
        "customer_locale": "fr",
        "billing_address": {
            "first_name": "Ada",
            "last_name": "Blanc",
            "email": "Ada@Example.com",
            "phone": "+33612345678",
            "country_iso2": "FR",
        },
        "products": {"url": "https://api.bigcommerce.com/x", "resource": "/orders/250/products"},
        "consignments": [
            {
                "shipping": [
                    {
                        "line_items": [
                            {
                                "product_id": 9,
                                "name": "Marteau",
                                "quantity": 1,
                                "price_inc_tax": "84.5000",
                            }
                        ]
                    }
                ],
                "downloads": [],
            }
        ],
    } | fields


@pytest.mark.parametrize(
    ("scope", "data"),
    [
        ("store/cart/created", {"type": "cart", "id": CART}),
        ("store/cart/couponApplied", {"type": "cart", "id": CART, "couponId": 1}),
        ("store/cart/lineItem/updated", {"type": "cart_line_item", "id": "l1", "cartId": CART}),
        ("store/channel/3/cart/updated", {"type": "cart", "id": CART}),
    ],
)
def test_any_news_of_a_cart_is_of_the_cart(scope: str, data: dict[str, Any]) -> None:
    found = told(scope, **data)
    event = only(found)
    assert event.name == "cart.updated"
    assert event.source_event == scope
    assert event.identifier("cart_token") == CART
    assert found.hydration == Hydration(f"/v3/carts/{CART}?include=redirect_urls")
    assert event.occurred_at == NOW - dt.timedelta(minutes=2)


def test_a_deleted_cart_was_emptied_and_cannot_be_asked_for() -> None:
    found = told("store/cart/deleted", type="cart", id=CART)
    assert only(found).data["emptied"] is True
    assert found.hydration is None


def test_an_abandoned_cart_is_an_expired_checkout() -> None:
    found = told("store/cart/abandoned", type="cart", id=CART, token="abc")
    event = only(found)
    assert event.name == "checkout.expired"
    assert event.identifier("checkout_token") == CART
    assert event.data["abandoned_token"] == "abc"


def test_a_converted_cart_is_an_order_with_its_cart() -> None:
    found = told("store/cart/converted", type="cart", id=CART, orderId=250)
    event = only(found)
    assert event.name == "order.placed"
    assert (event.data["order_id"], event.data["cart_token"]) == ("250", CART)
    assert event.identifier("cart_token") == CART
    assert meanings(found, "order.placed") == meanings(
        told("store/order/statusUpdated", id=250, status={"new_status_id": 11}), "order.placed"
    )


def test_an_order_of_unknown_status_is_not_placed() -> None:
    found = told("store/order/created", type="order", id=250)
    assert names(found) == ["order.updated"]
    assert found.hydration == Hydration("/v2/orders/250?include=consignments.line_items")


@pytest.mark.parametrize("status", [0, 5, 6])
def test_an_order_that_is_incomplete_cancelled_or_declined_is_not_placed(status: int) -> None:
    assert "order.placed" not in names(asked("store/order/created", order(status), id=250))
    moved = told("store/order/statusUpdated", id=250, status={"new_status_id": status})
    assert "order.placed" not in names(moved)


def test_an_order_whose_status_is_known_is_placed() -> None:
    found = asked("store/order/created", order(11), type="order", id=250)
    event = only(found)
    assert event.name == "order.placed"
    assert event.occurred_at == NOW - dt.timedelta(minutes=30)
    assert event.data["total"] == money("84.5000")
    assert [each["title"] for each in event.data["items"]] == ["Marteau"]
    assert (event.traits["first_name"], event.traits["locale"]) == ("Ada", "fr")
    assert identifiers(found) == {
        ("external_id", "quincaillerie:32"),
        ("email", "ada@example.com"),
        ("phone", "+33612345678"),
        ("checkout_token", CART),
        ("cart_token", CART),
        ("object", "order quincaillerie 250"),
    }


@pytest.mark.parametrize(
    ("status", "name"), [(2, "order.fulfilled"), (10, "order.fulfilled"), (5, "order.cancelled")]
)
def test_a_status_shows_its_transition(status: int, name: str) -> None:
    moved = {"previous_status_id": 11, "new_status_id": status}
    found = told("store/order/statusUpdated", type="order", id=250, status=moved)
    assert name in names(found)
    assert names(found)[-1] == "order.updated"


def test_a_captured_payment_is_a_paid_order() -> None:
    found = asked("store/order/updated", order(11, payment_status="captured"), id=250)
    assert names(found) == ["order.placed", "order.paid", "order.updated"]
    assert named(found, "order.paid").occurred_at == NOW - dt.timedelta(minutes=20)


def test_a_parcel_fulfils_its_order() -> None:
    found = told("store/shipment/created", type="shipment", id=12, orderId=250)
    event = only(found)
    assert event.name == "order.fulfilled"
    assert (event.data["order_id"], event.data["shipment_id"]) == ("250", "12")
    full = asked("store/shipment/created", order(2), type="shipment", id=12, orderId=250)
    assert names(full) == ["order.placed", "order.fulfilled"]
    assert meanings(full, "order.fulfilled") == meanings(found, "order.fulfilled")


def test_a_refund_is_one_with_and_without_its_amount() -> None:
    data = {"type": "order", "id": 250, "refund": {"refund_id": 4}}
    found = told("store/order/refund/created", **data)
    document = {"data": [{"id": 4, "order_id": 250, "total_amount": 12.5, "reason": "broken"}]}
    full = asked("store/order/refund/created", document, **data)
    assert meanings(found, "order.refunded") == meanings(full, "order.refunded")
    assert only(full).data["total"] == money("12.5", None)
    assert found.hydration == Hydration("/v3/orders/250/payment_actions/refunds")


@pytest.mark.parametrize(
    ("scope", "name"),
    [
        ("store/customer/created", "contact.created"),
        ("store/customer/updated", "contact.updated"),
        ("store/customer/deleted", "contact.deleted"),
    ],
)
def test_customers_are_contacts(scope: str, name: str) -> None:
    found = told(scope, type="customer", id=32)
    assert names(found) == [name]
    assert identifiers(found) == {("external_id", "quincaillerie:32")}


def test_an_address_is_its_customer_s() -> None:
    found = told("store/customer/address/created", id=60, address={"customer_id": 32})
    assert names(found) == ["contact.updated"]
    assert identifiers(found) == {("external_id", "quincaillerie:32")}


def test_a_customer_is_known_by_address_once_asked_for() -> None:
    document = {"data": [{"id": 32, "email": "ada@example.com", "first_name": "Ada"}]}
    found = asked("store/customer/created", document, type="customer", id=32)
    assert only(found).traits == {"first_name": "Ada"}
    assert ("email", "ada@example.com") in identifiers(found)


def test_a_subscriber_has_consented_when_they_joined() -> None:
    document = {"data": {"id": 5, "email": "ada@example.com", "source": "storefront"}}
    found = asked("store/subscriber/created", document, type="subscriber", id=5)
    event = only(found)
    assert event.name == "contact.consent_changed"
    claim = claim_of(event)
    assert claim is not None
    assert (claim.state, claim.at) == ("subscribed", NOW - dt.timedelta(minutes=2))
    assert event.identifier("email") == "ada@example.com"


def test_a_subscriber_who_left_is_found_by_their_number() -> None:
    gone = told("store/subscriber/deleted", type="subscriber", id=5)
    claim = claim_of(only(gone))
    assert claim is not None
    assert claim.state == "unsubscribed"
    joined = asked("store/subscriber/created", {"data": {"id": 5, "email": "a@x.fr"}}, id=5)
    assert set(gone.identifiers) <= set(joined.identifiers)


def test_an_updated_subscriber_consents_to_nothing_new() -> None:
    assert claim_of(only(told("store/subscriber/updated", type="subscriber", id=5))) is None


def test_a_cart_s_lines_and_way_back_come_from_the_api() -> None:
    document = {
        "data": {
            "id": CART,
            "customer_id": 0,
            "email": "ada@example.com",
            "currency": {"code": "EUR"},
            "cart_amount": 84.5,
            "line_items": {
                "physical_items": [
                    {"product_id": 9, "name": "Marteau", "quantity": 1, "sale_price": 84.5}
                ]
            },
            "redirect_urls": {"checkout_url": "https://quincaillerie.example/cart?token=1"},
        }
    }
    found = asked("store/cart/abandoned", document, type="cart", id=CART, token="abc")
    event = only(found)
    assert event.name == "checkout.expired"
    assert event.data["total"] == money("84.5")
    assert event.data["recovery_url"] == "https://quincaillerie.example/cart?token=1"
    assert [each["title"] for each in event.data["items"]] == ["Marteau"]
    assert not any(kind == "external_id" for kind, _ in identifiers(found))


@pytest.mark.parametrize("document", [b"[]", b"{}", b"null", b'{"data":[]}'])
def test_an_empty_answer_leaves_what_the_ids_say(document: bytes) -> None:
    found = adapter.hydrated(delivery("store/cart/created", id=CART), document, OWN)
    assert names(found) == ["cart.updated"]


@pytest.mark.parametrize("number", ["../../v3/hooks", "1?x=1", "1/2", "", "a b", 10**30])
def test_an_id_cannot_become_another_path(number: object) -> None:
    assert told("store/order/created", type="order", id=number).hydration is None
    assert told("store/customer/created", type="customer", id=number).hydration is None


def test_trouble_with_deliveries_rings() -> None:
    found = told("store/hook/deliveryException", code=90001)
    assert found.facts == ()
    assert [effect.name for effect in found.effects] == [ALARM]
    gone = told("store/app/uninstalled")
    assert [effect.name for effect in gone.effects] == [PAUSE_SOURCE, ALARM]


def test_a_scope_nobody_needs_is_stored_and_gives_nothing() -> None:
    assert told("store/product/updated", id=1).facts == ()


def test_a_body_without_a_scope_is_no_notice() -> None:
    with pytest.raises(Unreadable):
        adapter.normalise(raw("bigcommerce", {"data": {}}, headers={}), OWN)


def test_a_retry_is_known_by_its_signed_id_else_by_its_hash() -> None:
    body = notice("store/order/created", id=1)
    one = raw("bigcommerce", body, headers={"webhook-id": "w1"})
    assert adapter.normalise(one, OWN).delivery == "webhook w1"
    plain = raw("bigcommerce", body, headers={})
    assert adapter.normalise(plain, OWN).delivery == adapter.normalise(plain, OWN).delivery
    later = raw("bigcommerce", body | {"created_at": epoch(0)}, headers={})
    assert adapter.normalise(plain, OWN).delivery != adapter.normalise(later, OWN).delivery


def signed(secret: str = SECRET, minutes: float = 0, body: bytes = BODY) -> list[tuple[str, str]]:
    stamp = epoch(minutes)
    message = f"w1.{stamp}.".encode() + body
    digest = base64.b64encode(hmac.digest(secret.encode(), message, hashlib.sha256)).decode()
    return [
        ("webhook-id", "w1"),
        ("webhook-timestamp", str(stamp)),
        ("webhook-signature", f"v1,{digest}"),
    ]


def verified(headers: list[tuple[str, str]], *secrets: str) -> bool:
    return adapter.verify(BODY, headers, secrets or [SECRET], NOW).verified


def test_the_client_secret_signs_as_it_is_written() -> None:
    assert verified(signed())
    assert verified(signed("old"), SECRET, "old")
    assert not verified(signed("other"))
    assert not verified(signed(body=b"{}"))
    assert not verified(signed(minutes=-6))
    assert not verified(signed(minutes=6))


@pytest.mark.parametrize(
    "header", [("x-chappe-secret", SECRET), ("authorization", f"Bearer {SECRET}")]
)
def test_a_secret_in_the_webhook_s_own_header_will_do(header: tuple[str, str]) -> None:
    assert verified([header])
    assert not verified([header], "another")
    assert not verified([(header[0], f"{header[1]}x")])
    assert not verified([(header[0], "")], "")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("webhook-id", "a"), ("webhook-timestamp", "x"), ("webhook-signature", "v1")],
        [("webhook-id", "a"), ("webhook-timestamp", "9" * 400), ("webhook-signature", "v1,a,b")],
        [("webhook-id", "é"), ("webhook-timestamp", "1"), ("webhook-signature", "v1,é")],
        [("webhook-id", "w1"), ("x-chappe-secret", SECRET)],
        [("x-chappe-secret", SECRET), ("x-chappe-secret", SECRET)],
    ],
)
def test_a_hostile_head_is_refused(headers: list[tuple[str, str]]) -> None:
    assert not verified(headers)


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        ({"id": CART}, CART),
        ({"id": "l1", "cartId": CART}, CART),
        ({"id": 250}, "250"),
        ({}, None),
    ],
)
def test_one_cart_s_deliveries_keep_their_order(data: dict[str, Any], wanted: str | None) -> None:
    assert adapter.entity(json.dumps({"data": data}).encode(), []) == wanted
