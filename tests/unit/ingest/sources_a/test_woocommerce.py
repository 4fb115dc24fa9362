import base64
import datetime as dt
import hashlib
import hmac
import html
import json
from typing import Any
from urllib.parse import urlencode

import pytest

from chappe.events import claim_of
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Normalised
from chappe_ingest.domain.reading import Unreadable
from chappe_ingest.domain.sources import woocommerce as adapter
from tests.unit.ingest.shop import NOW, raw
from tests.unit.ingest.sources_a.told import identifiers, meanings, money, named, names, only

OWN = Links(frozenset({"librairie.example"}))
SECRET = "rose & lilas"
BODY = b'{"id":1}'


def gmt(minutes: float) -> str:
    """As WordPress writes UTC: without saying so."""
    return (NOW + dt.timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S")


def order(status: str = "processing", **fields: Any) -> dict[str, Any]:
    return {
        "id": 88,
        "number": "2026-88",
        "status": status,
        "currency": "EUR",
        "date_created": gmt(-10 + 120),
        "date_created_gmt": gmt(-10),
        "date_modified_gmt": gmt(-2),
        "date_paid_gmt": None,
        "date_completed_gmt": None,
        "total": "31.40",
        "discount_total": "2.00",
        "customer_id": 0,
        "billing": {
            "first_name": "Zo&eacute;",
            "last_name": "Roux",
            "country": "FR",
            "email": "Zoe@Example.com",
            "phone": "+33 6 12 34 56 78",
        },
        "shipping": {"first_name": "", "country": ""},
        "line_items": [
            {
                "product_id": 3,
                "variation_id": 0,
                "name": "Th&eacute; &ndash; 100 g",
                "quantity": 2,
                "price": 15.7,
                "total": "31.40",
                "sku": "",
                "image": {"src": "https://librairie.example/the.jpg"},
            }
        ],
        "coupon_lines": [{"code": "ete"}],
        "refunds": [],
        "meta_data": [],
        "payment_url": "https://librairie.example/pay/88?key=k",
    } | fields


def told(topic: str, body: Any, **fields: Any) -> Normalised:
    headers = {"x-wc-webhook-topic": topic, "x-wc-webhook-id": "5"}
    return adapter.normalise(
        raw("woocommerce", body, headers=headers, namespace="librairie", **fields), OWN
    )


def signed(body: bytes, secret: str) -> list[tuple[str, str]]:
    digest = hmac.digest(secret.encode(), body, hashlib.sha256)
    return [("x-wc-webhook-signature", base64.b64encode(digest).decode())]


def test_an_order_is_placed_when_it_was_made_in_utc() -> None:
    found = told("order.created", order())
    event = only(found)
    assert event.name == "order.placed"
    assert event.occurred_at == NOW - dt.timedelta(minutes=10)
    assert event.data["total"] == money("31.40")
    assert event.data["number"] == "2026-88"
    assert event.data["discount_codes"] == ["ete"]
    assert event.data["payment_url"] == "https://librairie.example/pay/88?key=k"


def test_html_in_names_becomes_text() -> None:
    event = only(told("order.created", order()))
    (item,) = event.data["items"]
    assert item["title"] == "Thé \u2013 100 g"
    assert item["price"] == money("15.7")
    assert item["variant_id"] is None
    assert item["image_url"] == "https://librairie.example/the.jpg"
    assert event.traits["first_name"] == "Zoé"


def test_a_guest_is_known_by_address_and_an_account_by_number_too() -> None:
    guest = identifiers(told("order.created", order()))
    assert ("email", "zoe@example.com") in guest
    assert ("phone", "+33612345678") in guest
    assert not any(kind == "external_id" for kind, _ in guest)
    account = identifiers(told("order.created", order(customer_id=7)))
    assert ("external_id", "librairie:7") in account


@pytest.mark.parametrize("status", ["checkout-draft", "auto-draft", "draft"])
@pytest.mark.parametrize("topic", ["order.created", "order.updated"])
def test_a_draft_is_nothing(status: str, topic: str) -> None:
    assert told(topic, order(status)).facts == ()


@pytest.mark.parametrize("status", ["pending", "failed"])
def test_an_order_that_waits_for_its_payment_is_not_placed(status: str) -> None:
    assert names(told("order.created", order(status))) == ["order.updated"]


@pytest.mark.parametrize("status", ["processing", "completed", "on-hold"])
def test_an_order_is_placed_once_whichever_delivery_shows_it_first(status: str) -> None:
    found = told("order.updated", order(status))
    assert meanings(found, "order.placed") == meanings(
        told("order.created", order()), "order.placed"
    )


def test_a_payment_a_completion_and_a_cancellation_have_their_own_times() -> None:
    body = order("completed", date_paid_gmt=gmt(-8), date_completed_gmt=gmt(-5))
    found = told("order.updated", body)
    assert names(found) == ["order.placed", "order.paid", "order.fulfilled", "order.updated"]
    assert named(found, "order.paid").occurred_at == NOW - dt.timedelta(minutes=8)
    assert named(found, "order.fulfilled").occurred_at == NOW - dt.timedelta(minutes=5)
    gone = told("order.updated", order("cancelled"))
    assert names(gone) == ["order.cancelled", "order.updated"]
    assert named(gone, "order.cancelled").occurred_at == NOW - dt.timedelta(minutes=2)


def test_a_shop_s_own_status_is_placed_once_paid() -> None:
    assert names(told("order.updated", order("packing"))) == ["order.updated"]
    paid = told("order.updated", order("packing", date_paid_gmt=gmt(-8)))
    assert names(paid) == ["order.placed", "order.paid", "order.updated"]


def test_refunds_come_inside_their_order_each_once_and_positive() -> None:
    body = order("processing", refunds=[{"id": 1, "total": "-5.00"}, {"id": 2, "total": "-1.40"}])
    found = told("order.updated", body)
    totals = [f.event.data["total"] for f in found.facts if f.event.name == "order.refunded"]
    assert totals == [money("5.00"), money("1.40")]
    assert len(set(meanings(found, "order.refunded"))) == 2


def test_an_order_refunded_by_its_status_alone_is_refunded_in_full() -> None:
    found = told("order.updated", order("refunded"))
    assert named(found, "order.refunded").data["total"] == money("31.40")
    assert "order.placed" in names(found)


def test_a_deleted_order_cancels_nothing() -> None:
    found = told("order.deleted", {"id": 88})
    assert names(found) == ["order.updated"]
    assert found.identifiers[0] in told("order.created", order()).identifiers


def account(**fields: Any) -> dict[str, Any]:
    return {
        "id": 7,
        "email": "zoe@example.com",
        "first_name": "Zoé",
        "last_name": "",
        "role": "customer",
        "date_created_gmt": gmt(-4),
        "date_modified_gmt": gmt(-4),
        "is_paying_customer": False,
        "billing": {"phone": "", "country": "FR"},
    } | fields


def test_a_new_account_is_a_signup() -> None:
    found = told("customer.created", account())
    assert names(found) == ["contact.created"]
    assert only(found).traits["country"] == "FR"
    assert names(told("customer.updated", account())) == ["contact.updated"]
    assert names(told("customer.deleted", {"id": 7})) == ["contact.deleted"]


@pytest.mark.parametrize("role", ["administrator", "shop_manager", "Editor"])
def test_staff_are_not_welcomed(role: str) -> None:
    assert names(told("customer.created", account(role=role))) == ["contact.updated"]


def test_consent_and_language_come_from_the_shop_s_own_fields() -> None:
    meta = [
        {"key": "chappe_marketing_consent", "value": "yes"},
        {"key": "wpml_language", "value": "fr"},
    ]
    event = only(told("order.created", order(meta_data=meta)))
    claim = claim_of(event)
    assert claim is not None
    assert (claim.state, claim.at) == ("subscribed", NOW - dt.timedelta(minutes=10))
    assert event.traits["locale"] == "fr"
    assert claim_of(only(told("order.created", order()))) is None


def test_two_orders_of_one_second_are_two_deliveries_and_a_repeat_is_one() -> None:
    first = told("order.created", order(id=1)).delivery
    assert first != told("order.created", order(id=2)).delivery
    assert first == told("order.created", order(id=1)).delivery


def test_a_topic_nobody_needs_is_stored_and_gives_nothing() -> None:
    found = told("action.woocommerce_add_to_cart", {"action": "x", "arg": "y"})
    assert found.facts == ()
    assert "stored" in found.warnings[0]


def test_without_headers_the_body_s_shape_says_what_it_is() -> None:
    delivery = raw("woocommerce", order(), headers={})
    assert names(adapter.normalise(delivery, OWN)) == ["order.placed", "order.updated"]


def test_a_ping_is_answered_and_means_nothing() -> None:
    assert adapter.unsigned(b"webhook_id=12", [])
    found = adapter.normalise(raw("woocommerce", b"webhook_id=12", headers={}), OWN)
    assert found.facts == ()


def cartflows(status: str = "abandoned", **fields: str) -> bytes:
    token = base64.b64encode(urlencode({"wcf_session_id": "s-1"} | fields).encode()).decode()
    url = f"https://librairie.example/checkout/?{urlencode({'wcf_ac_token': token})}"
    return urlencode(
        {
            "first_name": "Zoé",
            "last_name": "Roux",
            "phone_number": "+33612345678",
            "email": "zoe@example.com",
            "checkout_url": url,
            "product_names": "Thé, Tasse",
            "coupon_code": "RETOUR",
            "order_status": status,
            "cart_total": "31.40",
            "product_table": "<table><script>alert(1)</script></table>",
        }
    ).encode()


def carted(body: bytes) -> Normalised:
    return adapter.normalise(raw("woocommerce", body, headers={}, verified=False), OWN)


@pytest.mark.parametrize(
    ("status", "name"),
    [
        ("abandoned", "checkout.updated"),
        ("completed", "order.placed"),
        ("lost", "checkout.expired"),
    ],
)
def test_a_cartflows_cart_is_taken_as_unverified(status: str, name: str) -> None:
    assert adapter.unsigned(cartflows(status), [])
    event = only(carted(cartflows(status)))
    assert event.name == name
    assert event.flags.unverified
    assert event.data["total"] == money("31.40", None)
    assert [each["title"] for each in event.data["items"]] == ["Thé", "Tasse"]
    assert event.data["recovery_url"].startswith("https://librairie.example/checkout/")
    assert "script" not in str(event)


def test_a_cartflows_cart_keeps_its_token_when_a_coupon_joins_its_link() -> None:
    plain = only(carted(cartflows())).identifier("checkout_token")
    assert plain
    assert "s-1" not in plain
    again = only(carted(cartflows(wcf_coupon_code="RETOUR"))).identifier("checkout_token")
    assert plain == again


def test_a_cartflows_order_cannot_stand_in_for_a_real_one() -> None:
    forged = meanings(carted(cartflows("completed")), "order.placed")
    assert forged != meanings(told("order.created", order()), "order.placed")


def test_a_cartflows_link_to_elsewhere_is_dropped() -> None:
    body = urlencode({"order_status": "abandoned", "checkout_url": "https://evil.example/c"})
    assert only(carted(body.encode())).data["recovery_url"] is None


def test_any_other_form_is_refused() -> None:
    assert not adapter.unsigned(b"a=1&b=2", [])
    with pytest.raises(Unreadable):
        carted(b"a=1&b=2")


@pytest.mark.parametrize("made_with", [SECRET, html.escape(SECRET)])
def test_a_delivery_signed_with_the_secret_as_pasted_or_decoded_verifies(made_with: str) -> None:
    stored = html.escape(SECRET) if made_with == SECRET else made_with
    assert adapter.verify(BODY, signed(BODY, made_with), [stored], NOW).verified


def test_either_of_two_secrets_verifies_and_another_does_not() -> None:
    for secret in ("old", "new"):
        assert adapter.verify(BODY, signed(BODY, secret), ["new", "old"], NOW).verified
    assert not adapter.verify(BODY, signed(BODY, "other"), ["new", "old"], NOW).verified
    assert not adapter.verify(BODY + b" ", signed(BODY, "new"), ["new"], NOW).verified


def test_an_empty_secret_never_matches_although_woocommerce_signs_with_one() -> None:
    assert not adapter.verify(BODY, signed(BODY, ""), ["", ""], NOW).verified


@pytest.mark.parametrize("value", ["", "é", "====", "A" * 100_000, "\u0100", "v1,a,b"])
def test_a_hostile_signature_is_refused(value: str) -> None:
    verdict = adapter.verify(BODY, [("x-wc-webhook-signature", value)], [SECRET], NOW)
    assert not verdict.verified
    assert verdict.reason


def test_two_signatures_are_refused() -> None:
    assert not adapter.verify(BODY, signed(BODY, SECRET) * 2, [SECRET], NOW).verified


def test_a_form_with_a_signature_is_no_ping() -> None:
    assert not adapter.unsigned(b"webhook_id=1", [("x-wc-webhook-signature", "AAAA")])
    assert not adapter.unsigned(BODY, [])


@pytest.mark.parametrize(
    ("topic", "body", "wanted"),
    [
        ("order.created", {"id": 88, "customer_id": 7}, "7"),
        ("order.created", {"id": 88, "customer_id": 0, "billing": {"email": "A@x.fr"}}, "a@x.fr"),
        ("order.deleted", {"id": 88}, "88"),
        ("customer.updated", {"id": 7, "billing": {"email": "a@x.fr"}}, "7"),
        ("order.created", [], None),
    ],
)
def test_one_buyer_s_deliveries_keep_their_order(topic: str, body: Any, wanted: str | None) -> None:
    headers = [("x-wc-webhook-topic", topic)]
    assert adapter.entity(json.dumps(body).encode(), headers) == wanted


def test_one_cart_s_deliveries_keep_their_order() -> None:
    assert adapter.entity(cartflows(), []) == adapter.entity(cartflows("completed"), [])
