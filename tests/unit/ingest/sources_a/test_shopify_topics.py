import datetime as dt
from typing import Any

import pytest

from chappe.events import claim_of
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import ALARM, ERASE_SHOP, PAUSE_SOURCE, Normalised
from chappe_ingest.domain.sources import shopify as adapter
from tests.unit.ingest.shop import (
    NOW,
    SECRET,
    at,
    checkout,
    customer,
    order,
    raw,
    shopify,
    signature,
)
from tests.unit.ingest.sources_a.told import identifiers, meanings, money, named, names, only

OWN = Links(frozenset({"atelier.myshopify.com"}))


def told(topic: str, body: Any, links: Links = OWN, **fields: Any) -> Normalised:
    return adapter.normalise(shopify(topic, body, **fields), links)


def price(amount: str, currency: str = "EUR") -> dict[str, Any]:
    shop = {"amount": amount, "currency_code": currency}
    return {"shop_money": shop, "presentment_money": {"amount": "1.00", "currency_code": "USD"}}


def cart(token: str, *lines: dict[str, Any], **fields: Any) -> dict[str, Any]:
    stamps = {"created_at": at(-9), "updated_at": at(-3)}
    return {"id": token, "token": token, "note": None, "line_items": list(lines)} | stamps | fields


def line(variant: int, quantity: int, each: str, total: str) -> dict[str, Any]:
    return {
        "id": variant,
        "variant_id": variant,
        "product_id": 11,
        "title": "Lampe",
        "quantity": quantity,
        "price": each,
        "line_price": total,
        "line_price_set": price(total),
    }


def refund(number: int, *transactions: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "id": number,
        "order_id": 1001,
        "created_at": at(-8),
        "processed_at": at(-7),
        "restock": True,
        "transactions": list(transactions),
        "refund_line_items": [
            {
                "quantity": 2,
                "subtotal_set": price("40.00"),
                "line_item": {"product_id": 11, "title": "Lampe", "price": "20.00", "quantity": 3},
            }
        ],
    } | fields


def payback(amount: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "refund", "status": "success", "amount": amount, "currency": "EUR"} | fields


def test_a_cart_knows_its_lines_their_sum_and_the_shop_s_currency() -> None:
    found = told(
        "carts/update", cart("c1", line(5, 2, "20.00", "40.00"), line(6, 1, "9.90", "9.90"))
    )
    event = only(found)
    assert event.name == "cart.updated"
    assert event.data["total"] == money("49.90")
    assert [each["quantity"] for each in event.data["items"]] == [2, 1]
    assert identifiers(found) == {("cart_token", "c1")}
    assert event.occurred_at == NOW - dt.timedelta(minutes=3)


def test_a_cart_links_back_to_the_shop_when_its_host_is_the_source_s_own() -> None:
    body = cart("c1", line(5, 2, "20.00", "40.00"), line(6, 1, "9.90", "9.90"))
    headers = {"x-shopify-topic": "carts/update", "x-shopify-shop-domain": "atelier.myshopify.com"}
    delivery = raw("shopify", body, headers=headers)
    link = only(adapter.normalise(delivery, OWN)).data["recovery_url"]
    assert link == "https://atelier.myshopify.com/cart/5:2,6:1"
    assert only(adapter.normalise(delivery, Links())).data["recovery_url"] is None


def test_a_header_cannot_turn_a_cart_s_link_elsewhere() -> None:
    headers = {"x-shopify-topic": "carts/update", "x-shopify-shop-domain": "evil.myshopify.com"}
    delivery = raw("shopify", cart("c1", line(5, 1, "1", "1")), headers=headers)
    assert only(adapter.normalise(delivery, OWN)).data["recovery_url"] is None


def test_a_cart_without_lines_was_emptied() -> None:
    event = only(told("carts/update", cart("c1")))
    assert event.data["emptied"] is True
    assert event.data["items"] == []


def test_a_cart_s_attributes_name_the_browser_s_visitor() -> None:
    found = told("carts/create", cart("c1", attributes={"rudderAnonymousId": "v1"}))
    assert ("anonymous_id", "v1") in identifiers(found)


def test_a_deleted_checkout_has_expired() -> None:
    found = told("checkouts/delete", {"token": "t1", "id": 9})
    assert names(found) == ["checkout.expired"]
    assert identifiers(found) == {("checkout_token", "t1")}


def test_a_ticked_box_for_text_messages_is_a_consent_of_its_own() -> None:
    body = checkout(
        "t1",
        buyer_accepts_marketing=False,
        buyer_accepts_sms_marketing=True,
        sms_marketing_phone="+33 6 12 34 56 78",
    )
    found = told("checkouts/update", body)
    event = only(found)
    assert claim_of(event) is None
    claim = claim_of(event, "sms")
    assert claim is not None
    assert claim.state == "subscribed"
    assert ("phone", "+33612345678") in identifiers(found)


def test_a_later_unsubscribe_on_the_record_outweighs_the_order_s_box() -> None:
    buyer = customer(7, "a@example.com") | {
        "email_marketing_consent": {"state": "unsubscribed", "consent_updated_at": at(-1)}
    }
    body = order(1, "a@example.com", buyer_accepts_marketing=True, customer=buyer)
    claim = claim_of(only(told("orders/create", body)))
    assert claim is not None
    assert claim.state == "unsubscribed"


def test_a_partly_fulfilled_order_is_updated_and_not_fulfilled() -> None:
    body = order(1, "a@example.com", fulfillment_status="partial")
    assert names(told("orders/partially_fulfilled", body)) == ["order.placed", "order.updated"]


def test_an_edit_joins_its_order_by_number() -> None:
    edit = {"order_edit": {"id": 3, "order_id": 1001, "committed_at": at(-4)}}
    found = told("orders/edited", edit)
    event = only(found)
    assert event.name == "order.updated"
    assert event.occurred_at == NOW - dt.timedelta(minutes=4)
    assert found.identifiers == told("refunds/create", refund(1)).identifiers
    assert found.identifiers[0] in told("orders/create", order(1001, "a@example.com")).identifiers


def test_a_refund_sums_the_money_that_went_back() -> None:
    body = refund(
        7,
        payback("30.00"),
        payback("5.50", status="pending"),
        payback("99.00", status="failure"),
        payback("12.00", kind="void"),
    )
    found = told("refunds/create", body)
    event = only(found)
    assert event.name == "order.refunded"
    assert event.data["total"] == money("35.50")
    assert event.data["order_id"] == "1001"
    assert event.data["items"][0]["quantity"] == 2
    assert event.occurred_at == NOW - dt.timedelta(minutes=7)
    assert event.object is not None
    assert (event.object.type, event.object.id) == ("order", "1001")


def test_goods_put_back_without_money_are_a_refund_of_nothing() -> None:
    assert only(told("refunds/create", refund(7))).data["total"] == money("0")


def test_a_refund_is_one_whether_it_comes_alone_or_inside_its_order() -> None:
    alone = told("refunds/create", refund(7, payback("30.00")))
    inside = told("orders/updated", order(1001, "a@x.example", refunds=[refund(7, payback("30"))]))
    assert meanings(alone, "order.refunded") == meanings(inside, "order.refunded")
    assert named(inside, "order.refunded").data["total"] == money("30")


def test_a_refund_of_a_test_payment_is_a_test() -> None:
    assert only(told("refunds/create", refund(7, payback("1", test=True)))).flags.test


@pytest.mark.parametrize("name", ["x-shopify-test", "shopify-test"])
def test_the_admin_page_s_notification_is_a_test(name: str) -> None:
    headers = {"shopify-topic": "orders/create", name: "true"}
    found = adapter.normalise(raw("shopify", order(1, "a@x.example"), headers=headers), OWN)
    assert only(found).flags.test


def test_the_first_parcel_makes_an_order_fulfilled() -> None:
    body = {
        "id": 4,
        "order_id": 1001,
        "name": "#1001.1",
        "status": "success",
        "email": "a@x.example",
        "created_at": at(-6),
        "updated_at": at(-2),
        "tracking_number": "LP1",
        "tracking_url": "https://track.example/LP1",
        "line_items": [{"product_id": 11, "quantity": 1, "price": "5", "price_set": price("5")}],
    }
    found = told("fulfillments/create", body)
    event = only(found)
    assert event.name == "order.fulfilled"
    assert event.occurred_at == NOW - dt.timedelta(minutes=6)
    assert (event.data["number"], event.data["tracking_number"]) == ("#1001", "LP1")
    assert event.data["tracking_url"] is None
    assert meanings(found, "order.fulfilled") == meanings(
        told("orders/fulfilled", order(1001, "a@x.example")), "order.fulfilled"
    )
    assert names(told("fulfillments/update", body)) == ["order.fulfilled", "order.updated"]
    assert names(told("fulfillments/update", body | {"status": "cancelled"})) == ["order.updated"]


def test_a_deleted_customer_is_a_signal_by_number() -> None:
    found = told("customers/delete", {"id": 7, "phone": None, "addresses": []})
    assert names(found) == ["contact.deleted"]
    assert identifiers(found) == {("external_id", "atelier:7")}


def merge(**fields: Any) -> dict[str, Any]:
    return {
        "admin_graphql_api_id_customer_kept": "gid://shopify/Customer/1",
        "admin_graphql_api_id_customer_deleted": "gid://shopify/Customer/2",
        "status": "completed",
    } | fields


def test_a_merge_says_who_is_gone_into_whom() -> None:
    event = only(told("customers/merge", merge()))
    assert event.name == "contact.merged"
    assert event.data == {"from_external_id": "atelier:2", "into_external_id": "atelier:1"}
    assert event.identifier("external_id") == "atelier:1"


@pytest.mark.parametrize(
    "fields", [{"status": "failed"}, {"admin_graphql_api_id_customer_kept": None}]
)
def test_a_merge_that_failed_is_nothing(fields: dict[str, Any]) -> None:
    found = told("customers/merge", merge(**fields))
    assert found.facts == ()
    assert found.warnings


@pytest.mark.parametrize(
    ("topic", "field"),
    [("customer.tags_added", "tags_added"), ("customer.tags_removed", "tags_removed")],
)
def test_tags_name_their_customer_by_global_id(topic: str, field: str) -> None:
    body = {"customerId": "gid://shopify/Customer/7", "tags": ["vip", 5], "occurredAt": at(-4)}
    event = only(told(topic, body))
    assert event.name == "contact.updated"
    assert event.data[field] == ["vip"]
    assert event.identifier("external_id") == "atelier:7"
    assert event.occurred_at == NOW - dt.timedelta(minutes=4)


def test_a_purchasing_summary_updates_what_they_have_spent() -> None:
    body = {
        "customerId": "gid://shopify/Customer/7",
        "numberOfOrders": 4,
        "amountSpent": {"amount": "210.50", "currencyCode": "EUR"},
        "lastOrderId": "gid://shopify/Order/9",
        "occurredAt": at(-4),
    }
    event = only(told("customers/purchasing_summary", body))
    assert event.traits == {"orders_count": 4, "total_spent": money("210.50")}
    assert event.data["last_order_id"] == "9"


def test_text_message_consent_names_a_number_and_no_address() -> None:
    body = {
        "id": 7,
        "phone": "+33612345678",
        "sms_marketing_consent": {
            "state": "subscribed",
            "opt_in_level": "single_opt_in",
            "consent_updated_at": at(-2),
            "consent_collected_from": "SHOPIFY",
        },
    }
    found = told("customers_marketing_consent/update", body)
    event = only(found)
    assert event.name == "contact.consent_changed"
    claim = claim_of(event, "sms")
    assert claim is not None
    assert (claim.state, claim.at) == ("subscribed", NOW - dt.timedelta(minutes=2))
    assert claim_of(event) is None
    assert identifiers(found) == {("external_id", "atelier:7"), ("phone", "+33612345678")}


def test_before_2024_a_customer_had_one_flag_and_its_time() -> None:
    body = customer(7, "a@x.example") | {
        "created_at": at(-60),
        "accepts_marketing": True,
        "accepts_marketing_updated_at": at(-30),
    }
    claim = claim_of(only(told("customers/update", body)))
    assert claim is not None
    assert (claim.state, claim.at) == ("subscribed", NOW - dt.timedelta(minutes=30))
    lowered = claim_of(only(told("customers/update", body | {"accepts_marketing": False})))
    assert lowered is not None
    assert lowered.state == "unsubscribed"
    never = body | {"accepts_marketing": False, "accepts_marketing_updated_at": at(-60)}
    assert claim_of(only(told("customers/create", never))) is None


def test_until_2024_10_a_customer_brings_tags_and_totals() -> None:
    body = customer(7, "a@x.example") | {
        "tags": "vip, wholesale",
        "orders_count": 3,
        "total_spent": "99.00",
        "currency": "EUR",
    }
    traits = only(told("customers/update", body)).traits
    assert traits["tags"] == ["vip", "wholesale"]
    assert traits["orders_count"] == 3
    assert traits["total_spent"] == money("99.00")


def test_a_request_for_data_is_a_request_for_an_export() -> None:
    body = {
        "shop_domain": "atelier.myshopify.com",
        "customer": {"id": 7, "email": "a@x.example", "phone": "+33612345678"},
        "orders_requested": [1001, 1002],
        "data_request": {"id": 5},
    }
    found = told("customers/data_request", body)
    event = only(found)
    assert event.name == "privacy.export_requested"
    assert event.data == {"order_ids": ["1001", "1002"], "request_id": "5"}
    assert ("email", "a@x.example") in identifiers(found)


def test_a_redaction_may_know_nothing_but_an_address() -> None:
    found = told("customers/redact", {"customer": {"email": "a@x.example"}, "orders_to_redact": []})
    assert names(found) == ["privacy.erase_requested"]
    assert identifiers(found) == {("email", "a@x.example")}


def test_the_redaction_of_a_shop_is_for_an_operator() -> None:
    found = told("shop/redact", {"shop_id": 5, "shop_domain": "atelier.myshopify.com"})
    assert names(found) == ["privacy.shop_erase_requested"]
    assert [effect.name for effect in found.effects] == [ERASE_SHOP]


def test_an_uninstalled_app_pauses_its_source_and_rings() -> None:
    body = {"id": 5, "name": "Atelier", "email": "owner@atelier.example", "phone": "+33612345678"}
    found = told("app/uninstalled", body)
    assert found.facts == ()
    assert found.identifiers == ()
    assert [effect.name for effect in found.effects] == [PAUSE_SOURCE, ALARM]


def test_an_app_without_leave_to_see_people_gets_orders_without_them() -> None:
    body = order(1, None) | {"customer": None, "shipping_address": None, "billing_address": None}
    found = told("orders/create", body)
    assert names(found) == ["order.placed"]
    assert [each.type for each in found.identifiers] == ["object"]


@pytest.mark.parametrize(
    ("amount", "currency"), [("600.00", "EUR"), ("20", "VND"), ("2.000", "KWD")]
)
def test_amounts_stay_as_they_are_written(amount: str, currency: str) -> None:
    body = order(1, "a@x.example", total_price=amount, currency=currency)
    assert only(told("orders/create", body)).data["total"] == money(amount, currency)


def test_the_module_verifies_with_the_source_s_secret() -> None:
    body = b'{"id":1}'
    headers = [("shopify-hmac-sha256", signature(body))]
    assert adapter.verify(body, headers, [SECRET], NOW).verified
    assert not adapter.verify(body, headers, ["another"], NOW).verified
