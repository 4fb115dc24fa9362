import base64
import json
from typing import Any

import pytest

from chappe_ingest.domain.reading import Unreadable
from chappe_ingest.domain.sources import cloudevents
from chappe_ingest.domain.sources.generic_shape import canonical
from tests.unit.ingest.shop import NOW, at
from tests.unit.ingest.sources_b.made import events, standard_webhook, understood

DATA = {
    "order_id": 9,
    "total": 49.9,
    "currency": "eur",
    "email": "zoe@example.com",
    "checkout_token": "c1",
    "items": [{"product_id": 1, "title": "Lampe", "quantity": 1, "price": "49.90"}],
}


def event(**fields: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": "ev-1",
        "source": "/shop",
        "type": "com.example.order.placed",
        "time": at(-5),
        "data": DATA,
    } | fields


def test_a_structured_event_is_read() -> None:
    (placed,) = events(cloudevents.normalise, event())
    assert placed.name == "order.placed"
    assert placed.source_event == "com.example.order.placed"
    assert placed.data["order_id"] == "9"
    assert placed.data["total"] == {"amount": "49.9", "currency": "EUR"}
    assert placed.data["items"][0]["price"] == {"amount": "49.90", "currency": "EUR"}
    assert placed.identifier("email") == "zoe@example.com"
    assert placed.identifier("checkout_token") == "c1"
    assert placed.object is not None
    assert (placed.object.type, placed.object.id) == ("order", "9")


def test_a_binary_event_says_the_same() -> None:
    headers = {
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": "ev-1",
        "ce-source": "/shop",
        "ce-type": '"com.example.order.placed"',
        "ce-time": at(-5),
        "ce-subject": "Ren%C3%A9",
    }
    structured = understood(cloudevents.normalise, event())
    binary = understood(cloudevents.normalise, DATA, headers=headers)
    assert binary.delivery == structured.delivery == "/shop ev-1"
    one, other = binary.facts[0].event, structured.facts[0].event
    assert (one.id, one.data, one.name) == (other.id, other.data, other.name)


def test_a_binary_header_that_is_no_text_is_refused() -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "%ff", "ce-source": "/", "ce-type": "t"}
    with pytest.raises(Unreadable):
        understood(cloudevents.normalise, DATA, headers=headers)


def test_data_may_come_as_base64() -> None:
    text = base64.b64encode(json.dumps(DATA).encode()).decode()
    made = event(data_base64=text)
    del made["data"]
    assert events(cloudevents.normalise, made)[0].data["order_id"] == "9"


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
def test_a_required_attribute_that_is_missing_is_named(name: str) -> None:
    with pytest.raises(Unreadable, match=name):
        understood(cloudevents.normalise, event(**{name: ""}))


def test_another_version_is_refused() -> None:
    with pytest.raises(Unreadable, match="version"):
        understood(cloudevents.normalise, event(specversion="0.3"))


@pytest.mark.parametrize(
    ("spoken", "name"),
    [
        ("order.placed", "order.placed"),
        ("com.example.shop.order.canceled", "order.cancelled"),
        ("ORDER_PLACED", "order.placed"),
        ("order/placed", "order.placed"),
        ("contact.consent_changed", "contact.consent_changed"),
        ("SizeChartOpened", "custom.size_chart_opened"),
        ("com.shop.custom.size_chart", "custom.size_chart"),
        ("email.delivered", "custom.email_delivered"),
        ("privacy.erase_requested", "custom.privacy_erase_requested"),
        ("contact.merged", "custom.contact_merged"),
        ("注文", "custom.unnamed"),
        ("", "custom.unnamed"),
        ("x" * 500, "custom." + "x" * 100),
    ],
)
def test_a_type_becomes_our_name_or_a_custom_one(spoken: str, name: str) -> None:
    assert canonical(spoken) == name


def test_people_may_be_described_apart() -> None:
    data = {
        "customer": {"id": 7, "email": "zoe@example.com", "first_name": "Zoé"},
        "traits": {"locale": "fr-FR", "points": 12, "consent": {"email": "subscribed"}},
        "identifiers": [{"type": "anonymous_id", "value": "a-1"}, {"type": "object", "value": "x"}],
    }
    (found,) = events(cloudevents.normalise, event(type="contact.created", data=data))
    assert found.identifier("external_id") == "atelier:7"
    assert found.identifier("anonymous_id") == "a-1"
    assert found.identifier("object") is None
    assert found.traits["first_name"] == "Zoé"
    assert found.traits["points"] == 12
    assert found.traits["consent"] == {"email": {"state": "subscribed"}}


def test_the_subject_may_name_the_person() -> None:
    for subject, kind in (("zoe@example.com", "email"), ("external_id:77", "external_id")):
        (found,) = events(cloudevents.normalise, event(type="x.y", data=None, subject=subject))
        assert found.identifier(kind)


def test_an_event_about_nobody_says_so() -> None:
    found = understood(cloudevents.normalise, event(type="x.y", data={"a": 1}))
    assert any("names nobody" in warning for warning in found.warnings)


def test_a_public_source_may_not_state_an_order() -> None:
    assert events(cloudevents.normalise, event(), public=True) == []
    (viewed,) = events(
        cloudevents.normalise,
        event(type="page.viewed", data={"anonymous_id": "a"}),
        public=True,
    )
    assert viewed.flags.unverified


def test_a_batch_is_taken_apart_with_each_event_s_own_bytes() -> None:
    one, two = b'{"id": 1.10}', b'{"id":"\\u00e9"}'
    headers = [("content-type", "application/cloudevents-batch+json; charset=utf-8")]
    parts = cloudevents.split(b"[" + one + b" , " + two + b"]", headers)
    assert [body for body, _ in parts] == [one, two]
    assert [body for body, _ in cloudevents.split(one, [])] == [one]
    binary = [("ce-specversion", "1.0"), ("content-type", "application/json")]
    assert [body for body, _ in cloudevents.split(b"[1,2]", binary)] == [b"[1,2]"]


@pytest.mark.parametrize(
    "body", [b"[", b"[1,", b"{}", b"[" * 100_000, b"\xff", b"", b"[0" + b",0" * 2_500 + b"]"]
)
def test_a_broken_or_huge_batch_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        cloudevents.split(body, [("content-type", "application/cloudevents-batch+json")])


def test_a_delivery_is_signed_or_brings_the_token() -> None:
    body = json.dumps(event()).encode()
    signed = standard_webhook(body, b"secret-of-the-source")
    assert cloudevents.verify(body, signed, ["secret-of-the-source"], NOW).verified
    for value, good in (
        ("Bearer secret-of-the-source", True),
        ("bearer  secret-of-the-source", True),
        ("Bearer other", False),
        ("secret-of-the-source", False),
        ("Bearer ", False),
        ("", False),
        ("é" * 1000, False),
    ):
        headers = [("authorization", value)]
        said = cloudevents.verify(body, headers, ["secret-of-the-source"], NOW)
        assert said.verified is good
    assert not cloudevents.verify(body, [("authorization", "Bearer ")], [""], NOW).verified
    assert not cloudevents.verify(body, [], ["s"], NOW).verified


def test_a_broken_signature_is_not_saved_by_a_token() -> None:
    headers = [*standard_webhook(b"x", b"k"), ("authorization", "Bearer s")]
    assert not cloudevents.verify(b"{}", headers, ["s"], NOW).verified


def test_a_sender_that_asks_is_told_to_go_on() -> None:
    origin = [("webhook-request-origin", "eventemitter.example.com")]
    answer = cloudevents.handshake("OPTIONS", origin, "")
    assert answer is not None
    status, body, headers = answer
    assert (status, body) == (200, b"")
    assert headers["webhook-allowed-origin"] == "eventemitter.example.com"
    assert cloudevents.handshake("OPTIONS", [], "") is None
    assert cloudevents.handshake("POST", origin, "") is None
    hostile = [("webhook-request-origin", "a\r\nset-cookie: x")]
    assert cloudevents.handshake("OPTIONS", hostile, "") is None


def test_the_place_in_the_order_is_the_checkout_or_the_person() -> None:
    assert cloudevents.entity(json.dumps(event()).encode(), []) == "c1"
    assert cloudevents.entity(b'{"email":"a@b.c"}', [("ce-type", "x")]) == "a@b.c"
    assert cloudevents.entity(b"", [("ce-subject", "s")]) == "s"
