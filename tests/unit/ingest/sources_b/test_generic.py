import json
from typing import Any

import pytest

from chappe_ingest.domain.reading import Unreadable
from chappe_ingest.domain.sources import generic
from chappe_ingest.domain.sources.generic_config import BadConfig
from tests.unit.ingest.shop import NOW, at
from tests.unit.ingest.sources_b.made import (
    b64,
    events,
    hex_hmac,
    named,
    standard_webhook,
    understood,
)

SECRET = "secret-of-the-source"


def test_without_a_mapping_the_sender_writes_our_words() -> None:
    body = {
        "type": "order.placed",
        "timestamp": at(-5),
        "data": {"order_id": 9, "email": "zoe@example.com", "total": "49.90", "currency": "EUR"},
    }
    (placed,) = events(generic.normalise, body)
    assert placed.name == "order.placed"
    assert placed.data["total"] == {"amount": "49.90", "currency": "EUR"}
    assert placed.identifier("email") == "zoe@example.com"
    assert placed.occurred_at.isoformat() == "2026-11-22T08:55:00+00:00"


def test_a_flat_body_and_a_header_will_do() -> None:
    body = {"id": 9, "email": "zoe@example.com"}
    (placed,) = events(generic.normalise, body, headers={"x-event": "order/placed"})
    assert (placed.name, placed.data["order_id"]) == ("order.placed", "9")
    (other,) = events(generic.normalise, {"event": "Size Missing", "email": "a@example.com"})
    assert other.name == "custom.size_missing"


def test_our_own_shape_from_the_api_is_read_too() -> None:
    body = {
        "name": "custom.quiz_done",
        "identifiers": [{"type": "email", "value": "zoe@example.com"}],
        "data": {"score": 7},
    }
    (done,) = events(generic.normalise, body)
    assert done.name == "custom.quiz_done"
    assert done.data["score"] == 7
    assert done.identifier("email") == "zoe@example.com"


def test_a_body_that_names_no_event_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="X-Event"):
        understood(generic.normalise, {"email": "a@example.com"})


def test_a_repeat_is_known_by_its_id_else_by_its_body() -> None:
    body = {"type": "x", "email": "a@example.com"}

    def delivery(made: Any, **headers: str) -> str | None:
        return understood(generic.normalise, made, headers=headers).delivery

    assert delivery(body) == delivery(body)
    assert delivery(body) != delivery(body | {"email": "b@example.com"})
    assert delivery(body, **{"webhook-id": "msg_1"}) == "msg_1"


BODY = b'{"type":"x"}\r\n'


@pytest.mark.parametrize(
    "headers",
    [
        [("x-signature", hex_hmac(BODY, SECRET))],
        [("x-hub-signature-256", "sha256=" + hex_hmac(BODY, SECRET))],
        [("x-webhook-signature", b64(bytes.fromhex(hex_hmac(BODY, SECRET))))],
        [("authorization", f"Bearer {SECRET}")],
        [("x-webhook-token", SECRET)],
        standard_webhook(BODY, SECRET.encode()),
    ],
)
def test_without_a_mapping_any_usual_proof_is_taken(headers: list[tuple[str, str]]) -> None:
    assert generic.verify(BODY, headers, [SECRET], NOW).verified
    assert generic.verify(BODY, headers, ["old", SECRET], NOW).verified
    assert not generic.verify(BODY, headers, ["other"], NOW).verified
    assert not generic.verify(BODY, headers, [""], NOW).verified


def test_a_wrong_signature_is_not_saved_by_a_token() -> None:
    headers = [("x-signature", "00"), ("authorization", f"Bearer {SECRET}")]
    assert not generic.verify(BODY, headers, [SECRET], NOW).verified


@pytest.mark.parametrize("value", ["", "é", "zz", "=", "x" * 100_000, "\x00", "sha256="])
@pytest.mark.parametrize("name", ["x-signature", "authorization", "x-token"])
def test_a_hostile_proof_is_refused_and_never_raises(name: str, value: str) -> None:
    assert not generic.verify(BODY, [(name, value)], [SECRET], NOW).verified


@pytest.mark.parametrize("algorithm", ["sha256", "sha1", "sha512"])
@pytest.mark.parametrize("encoding", ["hex", "base64"])
def test_a_mapping_says_how_the_sender_signs(algorithm: str, encoding: str) -> None:
    how = {
        "header": "X-My-Signature",
        "algorithm": algorithm,
        "encoding": encoding,
        "prefix": "v1=",
    }
    check = generic.make_verify({"signature": how})
    digest = hex_hmac(BODY, SECRET, algorithm)
    value = digest if encoding == "hex" else b64(bytes.fromhex(digest))
    assert check(BODY, [("x-my-signature", f"v1={value}")], [SECRET], NOW).verified
    said = check(BODY, [("authorization", f"Bearer {SECRET}")], [SECRET], NOW)
    assert "X-My-Signature" in (said.reason or "")


def test_a_mapping_may_ask_for_a_token_or_standard_webhooks() -> None:
    check = generic.make_verify({"signature": {"kind": "token", "header": "x-shop-token"}})
    assert check(BODY, [("x-shop-token", SECRET)], [SECRET], NOW).verified
    assert not check(BODY, [("authorization", SECRET)], [SECRET], NOW).verified
    check = generic.make_verify({"signature": {"kind": "standard-webhooks"}})
    assert check(BODY, standard_webhook(BODY, SECRET.encode()), [SECRET], NOW).verified


MAPPING: dict[str, Any] = {
    "event": {"at": "kind", "names": {"bought": "order.placed", "*": "custom.other"}},
    "identifiers": {"email": ["mail", "who.mail"], "external_id": "who.id"},
    "data": {"order_id": "o.id", "link": "o.link", "note": "o.notes.1"},
    "currency": "=JPY",
    "money": {"total": "o.sum"},
    "minor_units": True,
}


def test_a_mapping_finds_its_fields_wherever_they_are() -> None:
    body = {
        "kind": "bought",
        "who": {"mail": "Zoe@Example.com", "id": 7},
        "o": {"id": 5, "sum": 1200, "notes": ["a", "b"], "link": "https://evil.example/x"},
    }
    found = understood(generic.make_normaliser(MAPPING), body)
    (fact,) = found.facts
    assert fact.meaning == "order.placed atelier 5"
    assert fact.event.data == {
        "order_id": "5",
        "note": "b",
        "total": {"amount": "1200", "currency": "JPY"},
    }
    assert fact.event.identifier("email") == "zoe@example.com"
    assert fact.event.identifier("external_id") == "atelier:7"
    assert any("evil.example" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("currency", "amount"), [("EUR", "12.34"), ("JPY", "1234"), ("KWD", "1.234")]
)
def test_minor_units_know_how_many_decimals_a_currency_has(currency: str, amount: str) -> None:
    understand = generic.make_normaliser(MAPPING | {"currency": f"={currency}"})
    body = {"kind": "bought", "mail": "a@example.com", "o": {"id": 1, "sum": 1234}}
    (event,) = events(understand, body)
    assert event.data["total"] == {"amount": amount, "currency": currency}


def test_a_form_is_read_through_the_same_mapping() -> None:
    understand = generic.make_normaliser(
        {"event": {"at": "event"}, "identifiers": {"email": "mail"}}
    )
    headers = {"content-type": "application/x-www-form-urlencoded"}
    (event,) = events(understand, b"event=order.placed&mail=a%40example.com", headers=headers)
    assert event.identifier("email") == "a@example.com"
    with pytest.raises(Unreadable):
        understood(understand, b"&".join([b"a=1"] * 600), headers=headers)
    with pytest.raises(Unreadable):
        understood(understand, b"a=\xff", headers=headers)


def test_a_name_outside_the_table_is_stored_where_the_mapping_says_so() -> None:
    mapping = {"event": {"at": "kind", "otherwise": "ignore"}}
    found = understood(generic.make_normaliser(mapping), {"kind": "who knows"})
    assert not found.facts
    assert "stored" in found.warnings[0]


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ({"evnt": {}}, "evnt"),
        ({"event": {"names": {"a": "order.plced"}}}, "order.plced"),
        ({"event": {"names": {"a": "email.opened"}}}, "email.opened"),
        ({"event": {"otherwise": "guess"}}, "otherwise"),
        ({"identifiers": {"e-mail": "x"}}, "e-mail"),
        ({"items": {"at": "l", "fields": {"prix": "p"}}}, "prix"),
        ({"consent": {"email": {"at": "x", "states": {"1": "yes"}}}}, "yes"),
        ({"consent": {"post": {"at": "x"}}}, "post"),
        ({"data": {"a": "b..c"}}, "b..c"),
        ({"data": {"a": "header:Authorization"}}, "header"),
        ({"data": {"a": "header:authorization"}}, "not kept"),
        ({"data": {"a": "header:x-my-signature"}}, "not kept"),
        ({"data": {f"f{n}": "x" for n in range(300)}}, "paths"),
        ({"signature": {"algorithm": "md5"}}, "md5"),
        ({"signature": {"kind": "none"}}, "none"),
        ({"data": 3}, "data"),
    ],
)
def test_a_bad_mapping_is_refused_with_where_and_why(config: dict[str, Any], where: str) -> None:
    with pytest.raises(BadConfig, match=where):
        generic.make_normaliser(config)


def test_the_headers_that_a_mapping_reads_are_kept() -> None:
    mapping = {"event": {"at": ["header:x-boutique-event", "kind"]}, "id": "header:idempotency-key"}
    assert {"x-boutique-event", "idempotency-key"} <= generic.kept_headers(mapping)


def test_an_event_and_what_its_state_implies_come_together() -> None:
    mapping = MAPPING | {"also": {"o.paid": {"true": "order.paid"}}}
    body = {"kind": "bought", "mail": "a@example.com", "o": {"id": 1, "paid": True}}
    assert set(named(generic.make_normaliser(mapping), body)) == {"order.placed", "order.paid"}


def test_the_place_in_the_order_is_what_stands_where_it_usually_does() -> None:
    assert generic.entity(json.dumps({"data": {"cart_id": 5}}).encode(), []) == "5"
    assert generic.entity(b'{"email":"a@b.example"}', []) == "a@b.example"
    assert generic.entity(b"\xff", []) is None
