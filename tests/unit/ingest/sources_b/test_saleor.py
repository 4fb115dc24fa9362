import base64
import json
from typing import Any

import pytest

from chappe.events import Event
from chappe_ingest.domain.reading import Unreadable
from chappe_ingest.domain.sources import saleor
from tests.unit.ingest.shop import at
from tests.unit.ingest.sources_b.made import events, named, understood


def gid(kind: str, number: object) -> str:
    return base64.b64encode(f"{kind}:{number}".encode()).decode()


def price(amount: float) -> dict[str, Any]:
    money = {"amount": amount, "currency": "EUR"}
    return {"gross": money, "net": {"amount": amount / 2, "currency": "EUR"}}


LINES = [
    {
        "quantity": 2,
        "productName": "Lampe",
        "variantName": "Rouge",
        "productSku": "L-1",
        "unitPrice": price(19.99),
        "thumbnail": {"url": "https://media.saleor.cloud/lampe.png"},
        "variant": {"id": gid("ProductVariant", 3), "product": {"id": gid("Product", 2)}},
    }
]


def order(**fields: Any) -> dict[str, Any]:
    return {
        "id": gid("Order", "o-1"),
        "number": "77",
        "created": at(-60),
        "updatedAt": at(-10),
        "status": "UNFULFILLED",
        "userEmail": "Zoé@Example.com",
        "languageCodeEnum": "FR_CA",
        "checkoutId": gid("Checkout", "c-1"),
        "voucherCode": "SUMMER",
        "total": price(49.9),
        "lines": LINES,
        "user": {"id": gid("User", 8), "email": "account@example.com", "firstName": "Zoé"},
        "billingAddress": {"phone": "+33 6 12 34 56 78", "country": {"code": "FR"}},
        "metadata": [],
    } | fields


def sent(topic: str, payload: Any, **more: Any) -> list[Event]:
    return events(saleor.normalise, payload, headers={"saleor-event": topic}, **more)


def of_order(topic: str, **fields: Any) -> dict[str, Event]:
    body = {"issuedAt": at(-5), "order": order(**fields)}
    return named(saleor.normalise, body, headers={"saleor-event": topic})


def test_an_order_gives_the_shape_that_templates_rely_on() -> None:
    placed = of_order("order_created")["order.placed"]
    assert placed.data["order_id"] == gid("Order", "o-1")
    assert placed.data["number"] == "77"
    assert placed.data["total"] == {"amount": "49.9", "currency": "EUR"}
    assert placed.data["checkout_token"] == "c-1"
    assert placed.data["discount_codes"] == ["SUMMER"]
    assert placed.data["items"] == [
        {
            "product_id": gid("Product", 2),
            "variant_id": gid("ProductVariant", 3),
            "sku": "L-1",
            "title": "Lampe",
            "variant_title": "Rouge",
            "quantity": 2,
            "price": {"amount": "19.99", "currency": "EUR"},
            "image_url": "https://media.saleor.cloud/lampe.png",
        }
    ]
    assert placed.identifier("email") == "zoé@example.com"
    assert placed.identifier("external_id") == f"atelier:{gid('User', 8)}"
    assert placed.identifier("phone") == "+33612345678"
    assert placed.identifier("checkout_token") == "c-1"
    assert placed.traits == {"first_name": "Zoé", "country": "FR", "locale": "fr-CA"}
    assert placed.occurred_at.isoformat() == "2026-11-22T08:00:00+00:00"


def test_money_is_exact_although_saleor_writes_floats() -> None:
    text = json.dumps({"order": order(total=None)}).replace(
        '"total": null', '"total": {"gross": {"amount": 79.99000000000001, "currency": "JPY"}}'
    )
    (placed,) = sent("order_created", text.encode())
    assert placed.data["total"] == {"amount": "79.99000000000001", "currency": "JPY"}


STEPS: list[tuple[str, dict[str, Any], set[str]]] = [
    ("order_created", {}, {"order.placed"}),
    ("ORDER_CREATED", {}, {"order.placed"}),
    ("order_confirmed", {}, {"order.placed", "order.updated"}),
    ("order_fully_paid", {}, {"order.placed", "order.paid"}),
    ("order_paid", {}, {"order.placed", "order.paid"}),
    ("order_paid", {"isPaid": False}, {"order.placed"}),
    ("order_paid", {"paymentStatus": "PARTIALLY_CHARGED"}, {"order.placed"}),
    (
        "order_updated",
        {"chargeStatus": "FULL"},
        {"order.placed", "order.paid", "order.updated"},
    ),
    ("order_fulfilled", {}, {"order.placed", "order.fulfilled"}),
    (
        "order_updated",
        {"status": "FULFILLED"},
        {"order.placed", "order.fulfilled", "order.updated"},
    ),
    ("order_updated", {"status": "PARTIALLY_FULFILLED"}, {"order.placed", "order.updated"}),
    ("order_cancelled", {}, {"order.placed", "order.cancelled"}),
    ("order_expired", {"status": "EXPIRED"}, {"order.placed", "order.cancelled"}),
    ("order_refunded", {}, {"order.placed", "order.refunded"}),
    ("order_created", {"status": "DRAFT"}, set()),
    ("draft_order_created", {"status": "DRAFT"}, set()),
    ("product_updated", {}, set()),
]


@pytest.mark.parametrize(("topic", "fields", "expected"), STEPS)
def test_an_order_shows_every_step_it_has_taken(
    topic: str, fields: dict[str, Any], expected: set[str]
) -> None:
    assert set(of_order(topic, **fields)) == expected


def test_a_fulfilment_tells_of_its_order() -> None:
    body = {
        "issuedAt": at(-5),
        "fulfillment": {"created": at(-7), "order": order(status="FULFILLED")},
    }
    found = named(saleor.normalise, body, headers={"saleor-event": "fulfillment_created"})
    assert found["order.fulfilled"].occurred_at.isoformat() == "2026-11-22T08:53:00+00:00"


def test_the_two_events_of_one_full_refund_mean_one_refund() -> None:
    back = {"amount": 49.90, "currency": "EUR"}
    topics = ("order_refunded", "order_fully_refunded")
    found = [of_order(topic, totalRefunded=back)["order.refunded"] for topic in topics]
    assert found[0].id == found[1].id
    assert found[0].data["total"] == {"amount": "49.9", "currency": "EUR"}
    more = of_order("order_refunded", totalRefunded={"amount": 60, "currency": "EUR"})
    assert more["order.refunded"].id != found[0].id


def test_a_checkout_is_known_by_one_token_however_it_is_written() -> None:
    written: tuple[dict[str, Any], ...] = (
        {"token": "c-1"},
        {"id": gid("Checkout", "c-1")},
        {"token": gid("Checkout", "c-1")},
    )
    for fields in written:
        body = {"checkout": {"email": "a@example.com", **fields}}
        (event,) = sent("checkout_updated", body)
        assert event.name == "checkout.updated"
        assert event.data["checkout_token"] == "c-1"
        assert event.identifier("checkout_token") == "c-1"


def test_a_new_checkout_has_its_total_and_a_way_back_if_the_shop_says_where() -> None:
    body = {
        "issuedAt": at(-5),
        "checkout": {
            "id": gid("Checkout", "c 1"),
            "created": at(-6),
            "email": None,
            "totalPrice": price(12.5),
            "lines": LINES,
        },
    }
    understand = saleor.make_normaliser({"recovery_url": "https://shop.example/back?t={token}"})
    (event,) = events(understand, body, headers={"saleor-event": "checkout_created"})
    assert event.name == "checkout.started"
    assert event.data["total"] == {"amount": "12.5", "currency": "EUR"}
    assert event.data["recovery_url"] == "https://shop.example/back?t=c%201"
    assert [each.type for each in event.identifiers] == ["checkout_token"]
    with pytest.raises(ValueError, match="https"):
        saleor.make_normaliser({"recovery_url": "http://shop.example"})


def test_a_customer_is_created_updated_and_deleted() -> None:
    user = {
        "id": gid("User", 8),
        "email": "zoe@example.com",
        "firstName": "Zoé",
        "dateJoined": at(-9),
    }
    for topic, name in (
        ("customer_created", "contact.created"),
        ("customer_updated", "contact.updated"),
        ("customer_deleted", "contact.deleted"),
        ("account_confirmation_requested", "contact.created"),
    ):
        (event,) = sent(topic, {"issuedAt": at(-5), "user": user})
        assert event.name == name
        assert event.identifier("email") == "zoe@example.com"
        assert event.traits["first_name"] == "Zoé"


def test_staff_are_no_contacts() -> None:
    body = {"user": {"id": gid("User", 1), "email": "me@shop.example", "isStaff": True}}
    assert sent("customer_created", body) == []


def legacy(**fields: Any) -> list[dict[str, Any]]:
    return [
        {
            "type": "Order",
            "id": gid("Order", 5),
            "created": at(-30),
            "status": "unfulfilled",
            "user_email": "zoe@example.com",
            "total_gross_amount": "49.90",
            "channel": {"currency_code": "EUR"},
            "lines": [
                {
                    "product_name": "Lampe",
                    "product_sku": "L-1",
                    "quantity": 1,
                    "currency": "EUR",
                    "unit_price_gross_amount": "49.90",
                }
            ],
            "billing_address": {"first_name": "Zoé", "country": "FR", "phone": ""},
            "metadata": {"marketing_consent": "true"},
            "meta": {"issued_at": at(-29), "version": "3.20"},
        }
        | fields
    ]


def test_the_older_array_is_read_too() -> None:
    (placed,) = sent("order_created", legacy())
    assert placed.data["total"] == {"amount": "49.90", "currency": "EUR"}
    assert placed.data["items"][0]["price"] == {"amount": "49.90", "currency": "EUR"}
    assert placed.traits["first_name"] == "Zoé"
    assert placed.traits["country"] == "FR"
    assert placed.object is not None
    assert placed.object.version == "2026-11-22T08:31:00.000000Z"


def notice(kind: str, **payload: Any) -> dict[str, Any]:
    return {"notify_event": kind, "payload": payload}


def test_notifications_are_read_as_what_they_announce() -> None:
    ordered = {
        "id": gid("Order", 5),
        "number": "5",
        "email": "zoe@example.com",
        "currency": "EUR",
        "total_gross_amount": "49.90",
        "status": "unfulfilled",
        "created": at(-30),
        "language_code": "fr",
    }
    (placed,) = sent("notify_user", notice("order_confirmation", order=ordered))
    assert placed.name == "order.placed"
    assert placed.data["total"] == {"amount": "49.90", "currency": "EUR"}
    assert placed.traits["locale"] == "fr"
    refund = notice("order_refund_confirmation", order=ordered, amount="16.800", currency="EUR")
    found = named(saleor.normalise, refund, headers={"saleor-event": "notify_user"})
    assert found["order.refunded"].data["total"] == {"amount": "16.800", "currency": "EUR"}
    user = {"id": gid("User", 9), "email": "new@example.com", "is_staff": False}
    secret = "https://shop.example/confirm?token=t"
    confirm = notice("account_confirmation", user=user, confirm_url=secret)
    (created,) = sent("notify_user", confirm)
    assert created.name == "contact.created"
    assert secret not in repr(created)
    assert sent("notify_user", notice("account_password_reset", user=user)) == []


def test_consent_stands_in_the_metadata_and_a_no_says_nothing() -> None:
    def consent(*rows: dict[str, str]) -> Any:
        body = {"order": order(metadata=list(rows))}
        return sent("order_created", body)[0].traits.get("consent")

    assert consent({"key": "marketing_consent", "value": "true"}) == {
        "email": {"state": "subscribed", "at": at(-60)}
    }
    assert consent({"key": "newsletter", "value": "unsubscribed"})["email"]["state"] == (
        "unsubscribed"
    )
    assert consent({"key": "newsletter", "value": "false"}) is None
    assert consent() is None


def test_a_restated_consent_of_a_customer_carries_no_new_time() -> None:
    user = {"id": gid("User", 8), "email": "a@example.com", "metadata": {"newsletter": "yes"}}
    (event,) = sent("customer_updated", {"user": user})
    assert event.traits["consent"] == {"email": {"state": "subscribed"}}


def test_a_repeat_is_known_although_saleor_names_no_delivery() -> None:
    body = {"issuedAt": at(-5), "order": order()}
    headers = {"saleor-event": "order_updated"}
    first, again = (understood(saleor.normalise, body, headers=headers) for _ in range(2))
    assert first.delivery == again.delivery
    later = understood(saleor.normalise, body | {"issuedAt": at(-4)}, headers=headers)
    assert later.delivery != first.delivery


def test_the_event_is_found_in_the_payload_when_the_header_is_missing() -> None:
    body = {"__typename": "OrderCreated", "order": order()}
    assert [event.name for event in events(saleor.normalise, body)] == ["order.placed"]
    wrapped = {"data": {"event": body}}
    assert [event.name for event in events(saleor.normalise, wrapped)] == ["order.placed"]


def test_a_bare_order_is_read_too() -> None:
    assert [event.name for event in sent("order_created", order())] == ["order.placed"]


def test_private_metadata_does_not_leave() -> None:
    body = {"order": order(privateMetadata=[{"key": "k", "value": "hush"}])}
    assert "hush" not in repr(sent("order_created", body))


@pytest.mark.parametrize("body", [b"", b"[]", b"[1]", b"null", b"{", b'"x"', b"\xff"])
def test_what_is_no_delivery_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        understood(saleor.normalise, body, headers={"saleor-event": "order_created"})


def test_a_checkout_and_its_order_have_one_place_in_the_order() -> None:
    checkout = {"checkout": {"id": gid("Checkout", "c-1")}}
    for body in (checkout, {"order": order()}, {"fulfillment": {"order": order()}}):
        assert saleor.entity(json.dumps(body).encode(), []) == "c-1"
    assert saleor.entity(b"[[[", []) is None
