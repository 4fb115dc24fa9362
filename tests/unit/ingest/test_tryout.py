import base64
import json

import pytest

from chappe.clock import HandClock
from chappe_ingest.tryout import try_source
from tests.unit.ingest.shop import NOW, SECRET, checkout, signature

BODY = json.dumps(checkout("t1", "zoe@example.com")).encode()
TOPIC = {"X-Shopify-Topic": "checkouts/create"}


def test_a_delivery_is_verified_and_its_events_shown() -> None:
    headers = TOPIC | {"X-Shopify-Hmac-Sha256": signature(BODY)}
    shown = try_source("shopify", BODY, headers, SECRET, clock=HandClock(NOW))
    assert (shown["verified"], shown["reason"], shown["answer"]) == (True, None, 200)
    (event,) = shown["events"]
    assert event["name"] == "checkout.started"
    assert event["contact"] is None
    assert event["received_at"] == "2026-11-22T09:00:00Z"
    assert {"type": "external_id", "value": "shopify:7"} not in event["identifiers"]
    assert event["schema"] == 1


def test_events_are_shown_when_nothing_verifies_too() -> None:
    shown = try_source("shopify", BODY, TOPIC, SECRET, clock=HandClock(NOW))
    assert (shown["verified"], shown["answer"]) == (False, 401)
    assert "missing" in shown["reason"]
    assert shown["events"]


def test_without_a_secret_nothing_is_checked() -> None:
    shown = try_source("shopify", BODY, TOPIC, None, clock=HandClock(NOW))
    assert (shown["verified"], shown["answer"]) == (False, 200)


def test_the_namespace_is_the_kind() -> None:
    body = json.dumps({"id": 7, "email": "a@x.example"}).encode()
    shown = try_source("shopify", body, {"X-Shopify-Topic": "customers/create"}, None)
    assert {"type": "external_id", "value": "shopify:7"} in shown["events"][0]["identifiers"]


def test_a_link_to_a_foreign_host_is_kept_with_a_warning() -> None:
    body = json.dumps(checkout("t", abandoned_checkout_url="https://shop.example/r")).encode()
    shown = try_source("shopify", body, TOPIC, None)
    assert shown["events"][0]["data"]["recovery_url"] == "https://shop.example/r"
    assert any("--domain shop.example" in warning for warning in shown["warnings"])


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_what_cannot_be_read_gives_no_events_and_says_why(body: bytes) -> None:
    for kind in ("shopify", "segment"):
        shown = try_source(kind, body, TOPIC, None)
        assert shown["events"] == []
        assert "dead letters" in shown["warnings"][0]


def test_a_segment_body_is_tried_by_its_type() -> None:
    call = {"type": "track", "event": "Signed Up", "userId": "u"}
    key = {"Authorization": "Basic " + base64.b64encode(b"wk:").decode()}
    shown = try_source("segment", json.dumps(call).encode(), key, "wk")
    assert shown["verified"]
    assert shown["events"][0]["name"] == "contact.created"


def test_a_segment_batch_is_taken_apart() -> None:
    batch = {"batch": [{"type": "identify", "userId": "u"}, {"type": "page", "userId": "u"}]}
    shown = try_source("segment", json.dumps(batch).encode(), {}, None)
    assert [event["name"] for event in shown["events"]] == ["contact.updated", "page.viewed"]


def test_an_unknown_kind_is_named_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match="shopify, woocommerce"):
        try_source("nosuch", b"{}", {}, None)


def test_what_the_shop_s_api_would_be_asked_is_said() -> None:
    body = json.dumps(
        {"scope": "store/order/updated", "data": {"type": "order", "id": 250}, "hash": "h",
         "created_at": int(NOW.timestamp()), "producer": "stores/abc123"}
    ).encode()  # fmt: skip
    shown = try_source("bigcommerce", body, {}, None, clock=HandClock(NOW))
    assert any("would be asked /v2/orders/250" in each for each in shown["warnings"])
