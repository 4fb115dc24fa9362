import contextlib
import datetime as dt
import json
from typing import Any

import pytest

from chappe.events import Event, claim_of
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Normalised
from chappe_ingest.domain.reading import Unreadable
from chappe_ingest.domain.sources import shopify as adapter
from tests.unit.ingest.shop import NOW, at, checkout, customer, order, raw, shopify


def understood(topic: str, body: Any, **fields: Any) -> Normalised:
    return adapter.normalise(shopify(topic, body, **fields), Links())


def events(topic: str, body: Any, **fields: Any) -> list[Event]:
    return [fact.event for fact in understood(topic, body, **fields).facts]


def names(found: list[Event]) -> list[str]:
    return [event.name for event in found]


def test_a_checkout_gives_its_tokens_its_total_and_its_way_back() -> None:
    (event,) = events("checkouts/create", checkout("t1", "zoe@example.com"))
    assert event.name == "checkout.started"
    assert event.data["checkout_token"] == "t1"
    assert event.data["cart_token"] == "cart-t1"
    assert event.data["total"] == {"amount": "49.90", "currency": "EUR"}
    assert event.data["recovery_url"] == "https://atelier.myshopify.com/c/t1?key=k"
    assert event.data["items"][0]["product_id"] == "11"
    assert event.identifier("email") == "zoe@example.com"
    assert event.identifier("checkout_token") == "t1"
    assert event.traits["locale"] == "fr-FR"
    assert "completed" not in event.data


def test_a_checkout_whose_order_is_done_says_so() -> None:
    (event,) = events("checkouts/update", checkout("t1", completed_at=at(-1)))
    assert event.name == "checkout.updated"
    assert event.data["completed"] is True


def test_an_order_gives_the_shape_that_templates_rely_on() -> None:
    body = order(1001, "zoe@example.com", "t1", customer=customer(7, "other@example.com"))
    (event,) = events("orders/create", body)
    assert event.name == "order.placed"
    assert event.data["order_id"] == "1001"
    assert event.data["number"] == "#1001"
    assert event.data["items"][0]["price"] == {"amount": "49.90", "currency": "EUR"}
    assert event.object is not None
    assert (event.object.type, event.object.id) == ("order", "1001")


def test_the_contact_e_mail_wins_over_the_account_s() -> None:
    body = order(1, "buyer@example.com", customer=customer(7, "account@example.com"))
    (event,) = events("orders/create", body)
    assert event.identifier("email") == "buyer@example.com"
    assert event.identifier("external_id") == "atelier:7"


def test_an_order_shows_each_transition_once_with_its_own_time() -> None:
    body = order(
        1,
        "a@example.com",
        processed_at=at(-60),
        updated_at=at(-1),
        financial_status="paid",
        fulfillment_status="fulfilled",
        fulfillments=[{"created_at": at(-20)}, {"created_at": at(-10)}],
        cancelled_at=at(-5),
    )
    found = events("orders/updated", body)
    minutes = [(NOW - event.occurred_at) / dt.timedelta(minutes=1) for event in found]
    assert dict(zip(names(found), minutes, strict=True)) == {
        "order.placed": 60,
        "order.paid": 1,
        "order.fulfilled": 10,
        "order.cancelled": 5,
        "order.updated": 1,
    }


def test_paid_before_placed_yields_both() -> None:
    assert names(events("orders/paid", order(1, "a@example.com"))) == ["order.placed", "order.paid"]


def test_the_same_order_has_the_same_meaning_and_id_whatever_the_topic() -> None:
    first = understood("orders/create", order(1, "a@example.com")).facts[0]
    second = understood("orders/updated", order(1, "a@example.com")).facts[0]
    assert first.meaning == second.meaning
    assert first.event.id == second.event.id


def test_two_shops_orders_of_one_number_are_two() -> None:
    one = understood("orders/create", order(1, "a@example.com"), namespace="paris").facts[0]
    two = understood("orders/create", order(1, "a@example.com"), namespace="lyon").facts[0]
    assert one.meaning != two.meaning


def test_a_rounded_id_is_taken_from_its_global_one() -> None:
    body = order(820982911946154500, None) | {
        "admin_graphql_api_id": "gid://shopify/Order/820982911946154508"
    }
    assert events("orders/create", body)[0].data["order_id"] == "820982911946154508"


def test_only_a_true_box_grants_consent_at_its_own_time() -> None:
    (event,) = events("checkouts/create", checkout("t1", "a@example.com"))
    claim = claim_of(event)
    assert claim is not None
    assert (claim.state, claim.at) == ("subscribed", NOW - dt.timedelta(minutes=10))
    (event,) = events("orders/create", order(1, "a@example.com", buyer_accepts_marketing=True))
    claim = claim_of(event)
    assert claim is not None
    assert claim.at == NOW - dt.timedelta(minutes=2)


@pytest.mark.parametrize("said", [False, None, "yes", 1])
def test_a_box_that_is_not_ticked_says_nothing(said: object) -> None:
    body = checkout("t1", "a@example.com", buyer_accepts_marketing=said)
    (event,) = events("checkouts/create", body)
    assert claim_of(event) is None


def test_a_consent_webhook_carries_its_time() -> None:
    body = {
        "customer_id": 7,
        "email_address": "A@Example.com",
        "email_marketing_consent": {"state": "unsubscribed", "consent_updated_at": at(-3)},
    }
    (event,) = events("customers_email_marketing_consent/update", body)
    assert event.name == "contact.consent_changed"
    assert event.identifier("email") == "a@example.com"
    claim = claim_of(event)
    assert claim is not None
    assert (claim.state, claim.at) == ("unsubscribed", NOW - dt.timedelta(minutes=3))


@pytest.mark.parametrize("state", ["not_subscribed", None, "", "invalid", 5])
def test_a_consent_state_that_says_nothing_claims_nothing(state: object) -> None:
    body = {"customer_id": 7, "email_marketing_consent": {"state": state}}
    (event,) = events("customers_email_marketing_consent/update", body)
    assert claim_of(event) is None


def test_a_subscribed_state_without_its_time_is_not_taken_as_new() -> None:
    body = customer(7, "a@example.com") | {"email_marketing_consent": {"state": "subscribed"}}
    (event,) = events("customers/create", body)
    assert claim_of(event) is None


def test_a_customer_created_is_a_signup_and_an_updated_one_is_not() -> None:
    body = customer(7, "a@example.com") | {"created_at": at(-1), "updated_at": at(-1)}
    assert names(events("customers/create", body)) == ["contact.created"]
    assert names(events("customers/update", body)) == ["contact.updated"]


def test_a_delivery_of_three_days_ago_is_historical() -> None:
    old = {"created_at": at(-73 * 60), "updated_at": at(-71 * 60)}
    assert events("checkouts/create", checkout("t", **old))[0].flags.historical
    assert not events("checkouts/update", checkout("t", **old))[0].flags.historical


def test_a_time_from_the_future_is_the_time_of_receipt() -> None:
    (event,) = events("checkouts/create", checkout("t", created_at=at(90)))
    assert event.occurred_at == NOW


def test_an_unreadable_time_falls_back_and_the_event_survives() -> None:
    body = checkout("t", created_at="2024-09-16T03:50:1500:00", updated_at=None)
    found = understood("checkouts/create", body)
    assert found.facts[0].event.occurred_at == NOW
    assert any("created_at" in warning for warning in found.warnings)


def test_a_test_order_is_flagged() -> None:
    assert events("orders/create", order(1, "a@example.com", test=True))[0].flags.test


def test_fields_of_the_wrong_type_are_null_and_the_event_survives() -> None:
    body: Any = {
        "email": {"a": 1},
        "line_items": 7,
        "total_price": [],
        "token": "t",
        "customer": "x",
    }
    found = understood("checkouts/create", body)
    (event,) = [fact.event for fact in found.facts]
    assert event.data["items"] == []
    assert event.data["total"] is None
    assert event.identifier("email") is None
    assert len(found.warnings) >= 4


@pytest.mark.parametrize(
    "email", ["a@b\r\nBcc: x@y", "a" * 100_000 + "@x.test", "nobody", "@", "a@b", "a b@c.example"]
)
def test_what_is_no_address_is_left_out(email: str) -> None:
    (event,) = events("checkouts/create", checkout("t", email))
    assert event.identifier("email") is None


def test_a_foreign_link_is_dropped_and_the_event_survives() -> None:
    body = checkout("t", abandoned_checkout_url="https://evil.example/?key=s3cr3t")
    found = understood("checkouts/create", body)
    assert found.facts[0].event.data["recovery_url"] is None
    assert any("--domain evil.example" in warning for warning in found.warnings)


def test_personal_data_that_nobody_needs_is_not_taken_along() -> None:
    body = order(1, "a@example.com", browser_ip="203.0.113.7", note="ring twice")
    body["client_details"] = {"user_agent": "x"}
    (event,) = events("orders/create", body)
    assert "203.0.113.7" not in str(event)
    assert "ring twice" not in str(event)


def test_an_order_without_any_name_is_still_somebody_s() -> None:
    found = understood("orders/create", order(1, None))
    assert found.identifiers[0].type == "object"


def test_a_browser_s_visitor_id_in_the_notes_is_an_identifier() -> None:
    notes = [{"name": "rudderAnonymousId", "value": "visitor-1"}]
    (event,) = events("checkouts/create", checkout("t", note_attributes=notes))
    assert event.identifier("anonymous_id") == "visitor-1"


def test_an_unknown_topic_gives_nothing_and_a_warning() -> None:
    found = understood("themes/publish", {"id": 1})
    assert found.facts == ()
    assert "themes/publish" in found.warnings[0]


def test_the_header_s_coming_names_without_x_are_understood() -> None:
    delivery = raw("shopify", checkout("t"), headers={"shopify-topic": "checkouts/create"})
    assert adapter.normalise(delivery, Links()).facts


def test_a_retry_is_known_by_its_event_id_and_topic() -> None:
    one = understood("orders/create", order(1, None), event_id="e-1").delivery
    assert one == understood("orders/create", order(2, None), event_id="e-1").delivery
    assert one != understood("orders/paid", order(1, None), event_id="e-1").delivery


@pytest.mark.parametrize("topic", sorted(adapter._TOPICS))
@pytest.mark.parametrize(
    "body", [b"{}", b'{"id":NaN}', b"[]", b"null", b'{"line_items":[[],1,{}]}']
)
def test_no_body_breaks_a_topic(topic: str, body: bytes) -> None:
    with contextlib.suppress(Unreadable):
        understood(topic, body)


@pytest.mark.parametrize(
    ("topic", "body", "wanted"),
    [
        ("checkouts/create", checkout("t"), "t"),
        ("checkouts/update", {"cart_token": "c"}, "c"),
        ("orders/create", order(1, None, "t"), "t"),
        ("orders/create", order(1, None, customer=customer(7, None)), "7"),
        ("orders/create", {"id": 9}, "9"),
        ("customers/update", {"id": 7}, "7"),
        ("customers_email_marketing_consent/update", {"customer_id": 7}, "7"),
        ("orders/create", {"id": {}}, None),
        ("orders/create", [], None),
    ],
)
def test_one_cart_s_deliveries_keep_their_order(topic: str, body: Any, wanted: str | None) -> None:
    headers = [("x-shopify-topic", topic)]
    assert adapter.entity(json.dumps(body).encode(), headers) == wanted
