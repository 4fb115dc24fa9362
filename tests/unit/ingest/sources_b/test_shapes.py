"""The shapes in which Saleor, Shopware, Adobe and shops of one's own say the same things."""

import datetime as dt
from typing import Any

import pytest

from chappe.events import Event
from chappe_ingest.domain.sources import adobe, cloudevents, generic, saleor, shopware
from tests.unit.ingest.shop import NOW, at
from tests.unit.ingest.sources_b.made import events, named


def money(amount: str, currency: str | None = "EUR") -> dict[str, Any]:
    return {"amount": amount, "currency": currency}


def of_saleor(topic: str, body: Any) -> list[Event]:
    return events(saleor.normalise, body, headers={"saleor-event": topic})


def test_saleor_s_older_array_names_a_line_s_variant() -> None:
    body = [
        {
            "type": "Order",
            "id": "T3JkZXI6MQ==",
            "number": "12",
            "user_email": "zoe@example.com",
            "created": at(-9),
            "status": "unfulfilled",
            "currency": "EUR",
            "total_gross_amount": "79.99",
            "shipping_price_gross_amount": "5.00",
            "language_code": "pl",
            "billing_address": {"first_name": "Zoé", "phone": "+48123456789", "country": "PL"},
            "lines": [
                {
                    "product_name": "Mug",
                    "variant_name": "Red",
                    "product_sku": "M-R",
                    "product_variant_id": "UHJ2OjE=",
                    "quantity": 2,
                    "unit_price_gross_amount": "37.495",
                }
            ],
            "meta": {"issued_at": at(-8), "version": "3.20"},
        }
    ]
    (placed,) = of_saleor("order_created", body)
    assert placed.occurred_at == NOW - dt.timedelta(minutes=9)
    assert placed.data["total"] == money("79.99")
    assert placed.data["shipping"] == money("5.00")
    (line,) = placed.data["items"]
    assert (line["variant_id"], line["title"], line["variant_title"]) == ("UHJ2OjE=", "Mug", "Red")
    assert line["price"] == money("37.495")
    assert placed.traits == {"first_name": "Zoé", "country": "PL", "locale": "pl"}


@pytest.mark.parametrize(
    ("total", "quantity", "price"), [(77.73, 3, "25.91"), (10, 3, "3.3333"), (20, 1, "20")]
)
def test_a_saleor_line_that_says_only_its_total_has_a_price(
    total: float, quantity: int, price: str
) -> None:
    line = {"quantity": quantity, "totalPrice": {"gross": {"amount": total, "currency": "EUR"}}}
    (checkout,) = of_saleor("checkout_updated", {"checkout": {"token": "t", "lines": [line]}})
    assert checkout.data["items"][0]["price"] == money(price)
    assert checkout.data["items"][0]["total"] == money(str(total))


@pytest.mark.parametrize("headers", [{}, {"saleor-event": "order_created"}])
def test_a_saleor_subscription_by_the_event_s_own_field_is_unwrapped(
    headers: dict[str, str],
) -> None:
    order = {"id": "a", "userEmail": "zoe@example.com", "created": at(-5)}
    body = {"data": {"orderCreated": {"issuedAt": at(-4), "order": order}}}
    (placed,) = events(saleor.normalise, body, headers=headers)
    assert (placed.name, placed.data["order_id"]) == ("order.placed", "a")
    assert placed.identifier("email") == "zoe@example.com"
    assert placed.occurred_at == NOW - dt.timedelta(minutes=5)


def test_each_order_of_a_saleor_bulk_is_placed() -> None:
    orders = [{"id": n, "number": n, "userEmail": f"{n}@example.com"} for n in ("a", "b")]
    found = of_saleor("order_bulk_created", {"issuedAt": at(-1), "orders": orders})
    assert [event.name for event in found] == ["order.placed"] * 2
    assert [event.identifier("email") for event in found] == ["a@example.com", "b@example.com"]
    assert len({event.id for event in found}) == 2


def test_a_saleor_voucher_is_a_discount_code_wherever_it_stands() -> None:
    for more in ({"voucherCode": "ETE"}, {"voucher": {"code": "ETE"}}, {"voucher_code": "ETE"}):
        (placed,) = of_saleor("order_created", {"order": {"id": "a"} | more})
        assert placed.data["discount_codes"] == ["ETE"]


def test_an_order_that_a_shopware_shop_deletes_is_not_cancelled() -> None:
    body = {
        "data": {
            "payload": [{"entity": "order", "operation": "delete", "primaryKey": "a" * 32}],
            "event": "order.deleted",
        },
        "timestamp": int(NOW.timestamp()),
    }
    (event,) = events(shopware.normalise, body)
    assert event.name == "order.updated"
    assert event.data == {"order_id": "a" * 32, "status": "deleted"}


def of_adobe(type_: str, value: Any) -> list[Event]:
    body = {
        "specversion": "1.0",
        "id": "1",
        "source": "urn:x",
        "type": f"com.adobe.commerce.observer.{type_}",
        "time": at(-1),
        "data": {"key": "k", "value": value},
    }
    return events(adobe.normalise, body)


def test_an_adobe_order_says_what_was_taken_off_and_put_on() -> None:
    value = {
        "entity_id": "12",
        "state": "new",
        "status": "pending",
        "order_currency_code": "EUR",
        "grand_total": "61.8500",
        "discount_amount": "-5.0000",
        "shipping_amount": "5.9000",
        "tax_amount": "11.8500",
        "customer_email": "zoe@example.com",
    }
    placed = of_adobe("sales_order_save_after", value)[0]
    assert placed.data["discount"] == money("5.00")
    assert placed.data["shipping"] == money("5.90")
    assert placed.data["tax"] == money("11.85")
    assert placed.data["status"] == "pending"


def test_an_adobe_invoice_says_how_much_was_paid() -> None:
    value = {
        "entity_id": "3",
        "order_id": "12",
        "state": 2,
        "grand_total": "61.8500",
        "order_currency_code": "EUR",
    }
    (paid,) = of_adobe("sales_order_invoice_save_after", value)
    assert (paid.name, paid.data["total"]) == ("order.paid", money("61.85"))


def test_a_mapped_amount_has_no_needless_noughts_and_a_number_is_text() -> None:
    mapping = {
        "event": {"at": "=order.placed"},
        "identifiers": {"email": "mail"},
        "data": {"order_id": "id", "number": "no"},
        "money": {"total": "sum"},
        "currency": "=EUR",
    }
    understand = generic.make_normaliser(mapping)
    for text, wanted in (("49.900000", "49.90"), ("1.2345", "1.2345"), ("4.500", "4.500")):
        body = {"id": 1, "no": 12, "sum": text, "mail": "zoe@example.com"}
        (placed,) = events(understand, body)
        assert placed.data["total"] == money(wanted)
        assert (placed.data["order_id"], placed.data["number"]) == ("1", "12")


def test_the_plain_shape_has_the_words_that_storefronts_have() -> None:
    data = {
        "order_id": 7,
        "email": "zoe@example.com",
        "currency": "eur",
        "total": "25.91",
        "subtotal": 20,
        "discount": "1.00",
        "shipping": "5.91",
        "tax": {"amount": "1.00", "currency": "EUR"},
        "coupon": "ETE",
    }
    for normalise, body in (
        (generic.normalise, {"type": "order.placed", "data": data}),
        (
            cloudevents.normalise,
            {"specversion": "1.0", "id": "1", "source": "/s", "type": "order.placed", "data": data},
        ),
    ):
        placed = named(normalise, body)["order.placed"]
        assert placed.data["subtotal"] == money("20")
        assert placed.data["discount"] == money("1.00")
        assert placed.data["shipping"] == money("5.91")
        assert placed.data["tax"] == money("1.00")
        assert placed.data["discount_codes"] == ["ETE"]
