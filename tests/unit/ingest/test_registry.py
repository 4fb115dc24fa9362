"""What holds for every kind of source, whoever sends."""

import json
from typing import Any

import pytest

from chappe.events import RawRecord
from chappe.ids import DEFAULT_WORKSPACE, SourceId
from chappe_ingest.domain.kind import Kind
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Normalised
from chappe_ingest.domain.reading import Unreadable
from chappe_ingest.domain.source import Source, SourceState, setup_steps, warning_of
from chappe_ingest.domain.sources import KINDS, REGISTRY
from chappe_ingest.domain.taking import deliveries
from chappe_ingest.tryout import try_source
from tests.unit.ingest.shop import NOW

HOSTILE: tuple[bytes, ...] = (
    b"",
    b"{",
    b"[]",
    b"null",
    b"7",
    b"\xff\xfe",
    b"[" * 50_000,
    b'{"a":' * 5_000,
    b'{"id": NaN}',
    b'{"id": 1e999999999}',
    b'{"id": ' + b"9" * 5_000 + b"}",
    b'{"id": "\\u0000\\ud800", "email": "\\udfff@x"}',
    b"a=b&c=%ff%00&webhook_id=1",
    b"\xef\xbb\xbf{}",
    json.dumps({"id": {}, "data": [], "order": 1, "customer": "x", "type": {}}).encode(),
    json.dumps([{"id": None}, 1, "x", [[]]]).encode(),
    json.dumps({"data": {"object": {"amount": "NaN"}}, "type": "charge.refunded"}).encode(),
)
HEADERS: tuple[list[tuple[str, str]], ...] = (
    [],
    [("authorization", "Basic \xe9"), ("authorization", "Bearer " + "x" * 9_000)],
    [("x-shopify-hmac-sha256", "="), ("x-wc-webhook-signature", "\xff"), ("content-type", "")],
    [("stripe-signature", "t=" + "9" * 400 + ",v1=zz,v1"), ("webhook-id", "a")],
    [("webhook-id", "a"), ("webhook-timestamp", "9" * 400), ("webhook-signature", "v1")],
    [("saleor-signature", "a..b"), ("shopware-shop-signature", "0"), ("x-signature", "")],
    [("x-adobe-digital-signature-1", "!"), ("x-adobe-commerce-webhook-signature", "!")],
    [("ce-specversion", "1.0"), ("ce-type", "\xff"), ("ce-id", ""), ("ce-time", "x")],
)


def raw_of(kind: Kind, body: bytes, headers: dict[str, str]) -> RawRecord:
    return RawRecord(
        id="raw_1",
        workspace=DEFAULT_WORKSPACE,
        source=SourceId("src_1"),
        kind=kind.name,
        namespace="shop",
        received_at=NOW,
        received_wall=NOW,
        headers=headers,
        body=body,
        verified=True,
    )


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("headers", HEADERS)
def test_what_strangers_send_raises_nothing_and_verifies_nothing(
    name: str, headers: list[tuple[str, str]]
) -> None:
    kind = REGISTRY[name]
    for body in HOSTILE:
        for secrets in ([], [""], ["secret"], ["whsec_!!"], ["{}"], ["ß"]):
            assert kind.verify(body, headers, secrets, NOW).verified is False
        if kind.unsigned is not None:
            kind.unsigned(body, headers)
        for part in deliveries(kind, {}, body, headers):
            assert part.entity is None or len(part.entity) <= 500
            try:
                found: Any = kind.normalise(raw_of(kind, part.body, part.headers), Links())
            except Unreadable:
                continue
            assert isinstance(found, Normalised)
        try_source(name, body, dict(headers), "secret")


@pytest.mark.parametrize("name", KINDS)
def test_a_greeting_is_answered_whatever_it_says(name: str) -> None:
    handshake = REGISTRY[name].handshake
    for method in ("GET", "OPTIONS", "HEAD"):
        for query in ("", "challenge=%ff&&=", "challenge=" + "x" * 3_000):
            for headers in HEADERS:
                if handshake is not None:
                    handshake(method, headers, query)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_says_what_to_paste_where_and_what_happens_when_it_is_disabled(
    name: str,
) -> None:
    source = Source(
        id=SourceId("src_1"),
        workspace=DEFAULT_WORKSPACE,
        kind=name,
        name="atelier",
        namespace="atelier",
        state=SourceState.ACTIVE,
        created_at=NOW,
    )
    steps = setup_steps(source, "https://chappe.example/in/src_1")
    assert any("https://chappe.example/in/src_1" in step for step in steps)
    assert any("chappe sources status atelier" in step for step in steps)
    assert not any("{url}" in step or "{name}" in step or "{secret}" in step for step in steps)
    assert warning_of(name)
