import datetime as dt
import json
from typing import Any

import pytest

from chappe.events import Event, claim_of
from chappe_ingest.domain.batches import NotABatch, single, split
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Normalised
from chappe_ingest.domain.reading import Unreadable
from chappe_ingest.domain.sources import segment as adapter
from chappe_ingest.domain.strictness import faults
from tests.unit.ingest.shop import NOW, at, segment


def understood(call: str, body: Any, **fields: Any) -> Normalised:
    return adapter.normalise(segment(call, body, **fields), Links(frozenset({"shop.example"})))


def event(call: str, body: Any, **fields: Any) -> Event:
    (fact,) = understood(call, {"userId": "u1"} | body, **fields).facts
    return fact.event


def track(name: str, properties: Any = None, **fields: Any) -> Event:
    return event("track", {"event": name, "properties": properties or {}}, **fields)


@pytest.mark.parametrize(
    ("spoken", "name"),
    [
        ("Signed Up", "contact.created"),
        ("SIGNED UP", "contact.created"),
        ("signed_up", "contact.created"),
        ("Product Viewed", "product.viewed"),
        ("Viewed Product", "product.viewed"),
        ("product added", "cart.updated"),
        ("Added Product", "cart.updated"),
        ("Product Removed", "cart.updated"),
        ("Cart Viewed", "cart.updated"),
        ("Checkout Started", "checkout.started"),
        ("Order Completed", "order.placed"),
        ("Order Updated", "order.updated"),
        ("Order Cancelled", "order.cancelled"),
        ("Order Refunded", "order.refunded"),
        ("Report Submitted", "custom.report_submitted"),
        ("trialEnded", "custom.trial_ended"),
        ("  ", "custom.unnamed"),
        ("É" * 500, "custom.unnamed"),
        ("x" * 500, "custom." + "x" * 100),
    ],
)
def test_event_names_map_as_the_surface_says(spoken: str, name: str) -> None:
    assert track(spoken).name == name


def test_identify_updates_a_contact_and_is_no_signup() -> None:
    found = event("identify", {"traits": {"email": "Zoe@Example.com", "firstName": "Zoé"}})
    assert found.name == "contact.updated"
    assert found.identifier("email") == "zoe@example.com"
    assert found.identifier("external_id") == "u1"
    assert found.traits == {"first_name": "Zoé"}


def test_a_rudderstack_identify_has_its_traits_in_the_context() -> None:
    found = event(
        "identify", {"anonymousId": None, "context": {"traits": {"email": "r@x.example"}}}
    )
    assert found.identifier("email") == "r@x.example"


def test_a_trait_that_is_null_in_an_identify_is_taken_away() -> None:
    said = {"traits": {"renews_at": None, "plan": "pro", "email": None, "firstName": None}}
    assert event("identify", said).traits == {"renews_at": None, "plan": "pro"}
    # Clients repeat what they know of somebody in every call; there null means unknown.
    assert event("page", {"context": said}).traits == {"plan": "pro"}


def test_traits_are_reserved_in_camel_and_snake_case() -> None:
    camel = event("identify", {"traits": {"firstName": "A", "createdAt": "2020-01-01T00:00:00Z"}})
    snake = event("identify", {"traits": {"first_name": "A", "created_at": "2020-01-01T00:00:00Z"}})
    assert camel.traits == snake.traits == {"first_name": "A", "created_at": "2020-01-01T00:00:00Z"}


def test_locale_and_time_zone_come_from_the_context() -> None:
    found = event("identify", {"context": {"locale": "fr-FR", "timezone": "Europe/Paris"}})
    assert found.traits == {"locale": "fr-FR", "timezone": "Europe/Paris"}


def test_a_user_id_is_taken_as_it_is_unless_the_source_has_a_namespace() -> None:
    assert event("identify", {}).identifier("external_id") == "u1"
    assert event("identify", {}, namespace="app").identifier("external_id") == "app:u1"


@pytest.mark.parametrize(
    "blocked", ["", "0", "000", "-1", "null", "undefined", "Anonymous", "void"]
)
def test_what_broken_clients_send_for_everybody_names_nobody(blocked: str) -> None:
    with pytest.raises(Unreadable, match="nobody"):
        understood("track", {"event": "E", "userId": blocked})


def test_consent_is_claimed_by_state_or_with_its_time() -> None:
    found = event("identify", {"traits": {"consent": {"email": "Subscribed"}}})
    assert found.traits["consent"] == {"email": {"state": "subscribed"}}
    own = {"email": {"state": "unsubscribed", "at": at(-9)}}
    claim = claim_of(event("identify", {"traits": {"consent": own}}))
    assert claim is not None
    assert (claim.state, claim.at) == ("unsubscribed", NOW - dt.timedelta(minutes=9))


def test_a_public_key_grants_no_consent() -> None:
    found = event("identify", {"traits": {"consent": {"email": "subscribed"}}}, public=True)
    assert found.flags.unverified
    assert claim_of(found) is None


def test_a_public_key_states_no_order_and_no_signup() -> None:
    assert track("Order Completed", public=True).name == "custom.order_completed"
    assert track("Signed Up", public=True).name == "custom.signed_up"
    assert track("Checkout Started", public=True).name == "checkout.started"


def test_the_client_s_clock_is_corrected() -> None:
    # Its clock is two hours slow: stamped 1 minute before it sent.
    found = event("track", {"event": "E", "timestamp": at(-121), "sentAt": at(-120)})
    assert found.occurred_at == NOW - dt.timedelta(minutes=1)


def test_a_stamp_from_the_future_is_the_time_of_receipt() -> None:
    assert event("track", {"event": "E", "timestamp": at(60)}).occurred_at == NOW
    both = {"event": "E", "timestamp": at(60), "sentAt": at(0)}
    assert event("track", both).occurred_at == NOW


@pytest.mark.parametrize("stamp", [None, "soon", [], "9999-99-99", 10**30])
def test_without_a_readable_stamp_it_happened_when_it_came(stamp: object) -> None:
    body = {"event": "E", "timestamp": stamp, "sentAt": at(-5)}
    assert event("track", body).occurred_at == NOW


def test_an_order_is_placed_once_with_its_money_exact() -> None:
    body = {
        "order_id": "o-1",
        "checkout_id": "ch-1",
        "cart_id": "ca-1",
        "total": 27.50,
        "currency": "eur",
        "coupon": "SPRING",
        "products": [{"product_id": "p", "name": "Lampe", "price": 19, "quantity": 1}],
    }
    (fact,) = understood(
        "track", {"userId": "u", "event": "Order Completed", "properties": body}
    ).facts
    found = fact.event
    assert found.data["total"] == {"amount": "27.5", "currency": "EUR"}
    assert found.data["items"][0]["title"] == "Lampe"
    assert found.data["checkout_token"] == "ch-1"
    assert found.data["coupon"] == "SPRING"
    assert {i.value for i in found.identifiers} == {"u", "ch-1", "ca-1", "src_web:o-1"}
    assert fact.meaning == "order.placed src_web o-1"


def test_a_checkout_known_by_its_order_id_meets_its_order() -> None:
    started = track("Checkout Started", {"order_id": "7", "value": 30, "currency": "EUR"})
    ordered = track("Order Completed", {"order_id": "7", "total": 30, "currency": "EUR"})
    assert started.data["checkout_token"] == ordered.data["checkout_token"] == "7"
    assert started.identifier("checkout_token") == ordered.identifier("checkout_token")


def test_secrets_in_free_properties_are_dropped() -> None:
    found = track(
        "Paid", {"cvv": "123", "card": {"card_number": "4"}, "ip": "1.1.1.1", "plan": "x"}
    )
    assert found.data == {"card": {}, "plan": "x"}


def test_free_links_go_only_to_the_shop() -> None:
    found = track(
        "Read", {"a": "https://shop.example/x", "b": "https://evil.example", "c": "//e.e"}
    )
    assert found.data == {"a": "https://shop.example/x"}


def test_free_properties_stay_numbers_and_have_a_depth() -> None:
    deep: Any = 1
    for _ in range(20):
        deep = {"n": deep}
    found = track("Scored", {"score": 1.5, "n": 3, "deep": deep})
    assert (found.data["score"], found.data["n"]) == (1.5, 3)


def test_page_screen_group_and_alias_are_understood() -> None:
    assert event("page", {"name": "Home", "properties": {"path": "/"}}).data["name"] == "Home"
    assert event("screen", {"name": "Home"}).name == "custom.screen_viewed"
    assert event("group", {"groupId": "g", "traits": {"plan": "x"}}).data["group_id"] == "g"
    alias = event("alias", {"previousId": "visitor-1"})
    assert alias.name == "contact.updated"
    assert alias.identifier("anonymous_id") == "visitor-1"


def test_a_message_id_is_the_delivery_s_name() -> None:
    assert (
        understood("track", {"userId": "u", "event": "E", "messageId": "m"}).delivery == "message m"
    )


WRONG: list[Any] = [
    {"properties": []},
    {"properties": "x", "traits": 7, "context": []},
    {"event": {"a": 1}},
    {"event": "Order Completed", "properties": {"products": [1, [], None], "total": {}}},
    {"event": "\u0000"},
    {"messageId": {}, "timestamp": {}, "sentAt": []},
    {"context": {"traits": [], "locale": {}, "timezone": 5}},
    {"traits": {"consent": 5}},
    {"traits": {"consent": {"email": ["x"]}}},
]


@pytest.mark.parametrize("body", WRONG)
@pytest.mark.parametrize("call", adapter.CALLS)
def test_wrong_types_cost_a_field_and_not_the_event(call: str, body: Any) -> None:
    assert event(call, body).contact is None


def test_a_lone_surrogate_in_a_user_id_is_stripped() -> None:
    body = b'{"userId":"u\\ud800\\u0000","event":"E"}'
    (fact,) = understood("track", body).facts
    assert fact.event.identifier("external_id") == "u"


# -- batches ------------------------------------------------------------------------------------


def test_a_batch_travels_as_single_calls_with_what_it_said_for_all() -> None:
    body = {
        "batch": [
            {"type": "identify", "userId": "u1", "context": {"ip": "x"}},
            {"type": "track", "anonymousId": "a1", "event": "E", "sentAt": "own"},
        ],
        "sentAt": at(0),
        "context": {"locale": "fr", "ip": "y"},
        "writeKey": "wk_1",
    }
    batch = split(json.dumps(body).encode())
    first, second = (json.loads(item.body) for item in batch.items)
    assert batch.write_key == "wk_1"
    assert [item.entity for item in batch.items] == ["u1", "a1"]
    assert first["context"] == {"locale": "fr", "ip": "x"}
    assert first["sentAt"] == at(0)
    assert second["sentAt"] == "own"
    assert second["context"] == {"locale": "fr", "ip": "y"}


def test_entries_that_are_no_calls_are_kept_for_the_resolver_to_refuse() -> None:
    batch = split(b'{"batch":[1,null,[],{"userId":{}}], "context": 5}')
    assert [item.entity for item in batch.items] == [None] * 4
    for item in batch.items:
        with pytest.raises(Unreadable):
            understood("", item.body)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"batch":7}', b'{"batch":{}}', b"[" * 100_000, b"\xff\xfe", b"9" * 5000],
)
def test_what_is_no_batch_is_refused_and_never_raises_otherwise(body: bytes) -> None:
    with pytest.raises(NotABatch):
        split(body)
    assert single(body)[0].entity is None


def test_a_batch_of_too_many_is_refused_as_such() -> None:
    body = json.dumps({"batch": [{"type": "track"}] * 2501}).encode()
    with pytest.raises(NotABatch) as refused:
        split(body)
    assert refused.value.too_many


# -- strict mode --------------------------------------------------------------------------------


def test_strict_mode_names_everything_that_is_wrong() -> None:
    body = json.dumps({"event": "", "properties": [], "userId": None}).encode()
    assert [fault["where"] for fault in faults("track", body, "")] == [
        "userId",
        "event",
        "properties",
    ]


def test_strict_mode_is_content_with_a_good_call() -> None:
    assert faults("track", b'{"userId":"u","event":"E"}', "") == []
    assert faults(None, b'{"type":"identify","anonymousId":"a"}', "batch[0].") == []


def test_strict_mode_says_where_in_the_batch() -> None:
    (fault,) = faults(None, b'{"type":"jump","userId":"u"}', "batch[3].")
    assert fault["where"] == "batch[3].type"
