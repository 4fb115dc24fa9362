import datetime as dt
import json
from typing import Any

import pytest

from chappe.events import Event
from chappe_ingest.domain.reading import Unreadable
from chappe_ingest.domain.sources import shopware
from tests.unit.ingest.shop import NOW, at
from tests.unit.ingest.sources_b.made import events, hex_hmac, named, understood

SECRET = "shop-secret"
SENT = int(NOW.timestamp()) - 60


def body(event: str, payload: Any, **fields: Any) -> dict[str, Any]:
    return {
        "data": {"payload": payload, "event": event},
        "source": {"url": "https://shop.example", "shopId": "s1", "eventId": "e-1"},
        "timestamp": SENT,
    } | fields


def order(**fields: Any) -> dict[str, Any]:
    return {
        "id": "0190abcd",
        "orderNumber": "10042",
        "orderDateTime": at(-60),
        "amountTotal": 61.85,
        "price": {"totalPrice": 61.85, "positionPrice": 59.95},
        "currency": {"isoCode": "EUR"},
        "stateMachineState": {"technicalName": "open"},
        "orderCustomer": {
            "customerId": "cust-1",
            "email": "zoe@example.com",
            "firstName": "Zoé",
            "lastName": "Roux",
        },
        "billingAddressId": "a2",
        "addresses": [
            {"id": "a1", "country": {"iso": "DE"}},
            {"id": "a2", "country": {"iso": "FR"}, "phoneNumber": "+33612345678"},
        ],
        "language": {"locale": {"code": "fr-FR"}},
        "transactions": [{"stateMachineState": {"technicalName": "open"}}],
        "deliveries": [{"stateMachineState": {"technicalName": "open"}}],
        "lineItems": [
            {
                "type": "product",
                "productId": "p-red",
                "label": "Lampe",
                "quantity": 2,
                "unitPrice": 29.975,
                "payload": {"productNumber": "L-1", "parentId": "p"},
                "cover": {"url": "https://shop.example/media/lampe.jpg"},
            },
            {"type": "promotion", "label": "Été", "payload": {"code": "SUMMER"}},
        ],
    } | fields


def of_order(event: str, **fields: Any) -> dict[str, Event]:
    return named(shopware.normalise, body(event, {"order": order(**fields)}))


def test_an_order_gives_the_shape_that_templates_rely_on() -> None:
    placed = of_order("checkout.order.placed")["order.placed"]
    assert placed.data == {
        "order_id": "0190abcd",
        "number": "10042",
        "total": {"amount": "61.85", "currency": "EUR"},
        "subtotal": {"amount": "59.95", "currency": "EUR"},
        "items": [
            {
                "product_id": "p",
                "variant_id": "p-red",
                "sku": "L-1",
                "title": "Lampe",
                "quantity": 2,
                "price": {"amount": "29.975", "currency": "EUR"},
                "image_url": "https://shop.example/media/lampe.jpg",
            }
        ],
        "discount_codes": ["SUMMER"],
        "status": "open",
    }
    assert placed.identifier("email") == "zoe@example.com"
    assert placed.identifier("external_id") == "atelier:cust-1"
    assert placed.identifier("phone") == "+33612345678"
    assert placed.traits == {
        "first_name": "Zoé",
        "last_name": "Roux",
        "country": "FR",
        "locale": "fr-FR",
    }
    assert placed.occurred_at == NOW - dt.timedelta(hours=1)


PAID = {"transactions": [{"stateMachineState": {"technicalName": "paid"}}]}
SHIPPED = {"deliveries": [{"stateMachineState": {"technicalName": "shipped"}}] * 2}


@pytest.mark.parametrize(
    ("event", "fields", "expected"),
    [
        ("checkout.order.placed", {}, {"order.placed"}),
        ("checkout.order.placed", PAID, {"order.placed", "order.paid"}),
        ("state_enter.order_transaction.state.paid", {}, {"order.placed", "order.paid"}),
        ("state_enter.order_transaction.state.refunded", {}, {"order.placed", "order.refunded"}),
        ("state_enter.order_delivery.state.shipped", {}, {"order.placed", "order.fulfilled"}),
        ("state_enter.order.state.completed", SHIPPED, {"order.placed", "order.fulfilled"}),
        (
            "state_enter.order_delivery.state.shipped_partially",
            {},
            {"order.placed", "order.updated"},
        ),
        ("state_enter.order.state.cancelled", {}, {"order.placed", "order.cancelled"}),
    ],
)
def test_an_order_shows_every_step_it_has_taken(
    event: str, fields: dict[str, Any], expected: set[str]
) -> None:
    assert expected <= set(of_order(event, **fields)) <= expected | {"order.updated"}


def customer(**fields: Any) -> dict[str, Any]:
    return {
        "id": "cust-1",
        "email": "zoe@example.com",
        "firstName": "Zoé",
        "guest": False,
        "createdAt": at(-3),
    } | fields


@pytest.mark.parametrize(
    ("event", "fields", "expected"),
    [
        ("checkout.customer.register", {}, "contact.created"),
        ("customer.register", {}, "contact.created"),
        ("checkout.customer.register", {"guest": True}, "contact.updated"),
        ("checkout.customer.guest_register", {"guest": True}, "contact.updated"),
        ("checkout.customer.deleted", {}, "contact.deleted"),
    ],
)
def test_a_guest_is_no_signup(event: str, fields: dict[str, Any], expected: str) -> None:
    (found,) = events(shopware.normalise, body(event, {"customer": customer(**fields)}))
    assert found.name == expected
    assert found.identifier("external_id") == "atelier:cust-1"


@pytest.mark.parametrize(
    ("event", "fields", "state"),
    [
        ("newsletter.register", {"status": "notSet"}, "pending"),
        ("newsletter.register", {"status": "direct"}, "subscribed"),
        ("newsletter.confirm", {"status": "optIn", "confirmedAt": at(-4)}, "subscribed"),
        ("newsletter.unsubscribe", {"status": "optOut"}, "unsubscribed"),
    ],
)
def test_the_newsletter_is_consent_with_its_time(
    event: str, fields: dict[str, Any], state: str
) -> None:
    recipient = {"email": "zoe@example.com", "firstName": "Zoé", "updatedAt": at(-4)} | fields
    payload = {"newsletterRecipient": recipient, "url": "https://shop.example/secret"}
    (found,) = events(shopware.normalise, body(event, payload))
    assert found.name == "contact.consent_changed"
    assert found.traits["consent"] == {"email": {"state": state, "at": at(-4)}}
    assert "secret" not in repr(found)


def test_written_products_are_events_about_the_shop() -> None:
    rows = [
        {
            "entity": "product",
            "operation": "update",
            "primaryKey": f"p{n}",
            "updatedFields": ["stock"],
        }
        for n in range(2)
    ]
    found = events(shopware.normalise, body("product.written", rows))
    assert [event.name for event in found] == ["custom.product_saved"] * 2
    assert [event.data["product_id"] for event in found] == ["p0", "p1"]
    assert found[0].data["fields"] == ["stock"]
    assert len({event.id for event in found}) == 2
    assert {each.value for event in found for each in event.identifiers} == {"shop atelier"}


def test_other_written_things_are_events_with_ids_or_nothing() -> None:
    def written(kind: str, operation: str = "update") -> list[str]:
        rows = [{"entity": kind, "operation": operation, "primaryKey": "k"}]
        return [e.name for e in events(shopware.normalise, body(f"{kind}.written", rows))]

    assert written("customer") == ["contact.updated"]
    assert written("customer", "delete") == ["contact.deleted"]
    assert written("order") == ["order.updated"]
    assert written("category") == []


def test_the_event_s_own_id_knows_a_repeat_and_its_counter_sorts() -> None:
    headers = {"x-shopware-sequence": "42", "x-shopware-event-id": "forged"}
    made = body("checkout.order.placed", {"order": order()})
    found = understood(shopware.normalise, made, headers=headers)
    assert found.delivery == "checkout.order.placed e-1"
    about = found.facts[0].event.object
    assert about is not None
    assert about.version == "s00000000000000000042"


def signed(made: Any, *secrets: str, name: str = "shopware-shop-signature") -> tuple[bool, str]:
    raw = json.dumps(made).encode()
    headers = [(name, hex_hmac(raw, SECRET))]
    said = shopware.verify(raw, headers, secrets or [SECRET], NOW)
    return said.verified, said.reason or ""


def test_a_delivery_is_known_by_its_signature() -> None:
    made = body("checkout.order.placed", {})
    assert signed(made) == (True, "")
    assert signed(made, "old", SECRET)[0]
    assert signed(made, name="shopware-shop-signature-previous")[0]
    assert "check the secret" in signed(made, "other")[1]
    assert not signed(made, "")[0]


@pytest.mark.parametrize(
    ("hours", "verified"), [(0, True), (-5.9, True), (-6.1, False), (7, False)]
)
def test_a_delivery_is_good_for_six_hours(hours: float, *, verified: bool) -> None:
    made = body("checkout.order.placed", {}, timestamp=int(NOW.timestamp() + hours * 3600))
    assert signed(made)[0] is verified


@pytest.mark.parametrize("timestamp", [None, "now", 10**400, -(10**20), [], True])
def test_a_strange_timestamp_that_the_shop_signed_does_not_matter(timestamp: object) -> None:
    assert signed(body("checkout.order.placed", {}, timestamp=timestamp))[0]


@pytest.mark.parametrize("value", ["", "zz", "é", "abc", "0" * 100_000, "AAAA"])
def test_a_hostile_signature_is_refused_and_never_raises(value: str) -> None:
    for made in (b"{", b"\xff", b"[" * 10_000):
        said = shopware.verify(made, [("shopware-shop-signature", value)], [SECRET], NOW)
        assert not said.verified


def test_a_signed_body_that_is_no_json_is_verified_and_then_unreadable() -> None:
    raw = b"[" * 100_000
    headers = [("shopware-shop-signature", hex_hmac(raw, SECRET))]
    assert shopware.verify(raw, headers, [SECRET], NOW).verified
    with pytest.raises(Unreadable):
        understood(shopware.normalise, raw)


def test_the_place_in_the_order_is_the_order_or_the_customer() -> None:
    made = json.dumps(body("checkout.order.placed", {"order": order()})).encode()
    assert shopware.entity(made, []) == "0190abcd"
    assert shopware.entity(b"nonsense", []) is None
