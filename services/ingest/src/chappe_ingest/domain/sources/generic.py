"""Shops of one's own: PrestaShop and Magento modules, Medusa, anything that can send JSON.

With a mapping (``generic_config``) any payload will do. Without one the sender writes our words:
``{"type": "order.placed", "timestamp": …, "data": {…}}``, as Standard Webhooks suggests.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

from chappe.events import RawRecord
from chappe_ingest.domain.kind import Verify
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Normalised, Normaliser
from chappe_ingest.domain.reading import Reader, Unreadable
from chappe_ingest.domain.sources import facts, standard_webhooks
from chappe_ingest.domain.sources import generic_mapped as mapped
from chappe_ingest.domain.sources import generic_shape as shape
from chappe_ingest.domain.sources import generic_signatures as signatures
from chappe_ingest.domain.sources.facts import Delivery
from chappe_ingest.domain.sources.generic_config import Signature, headers_of, mapping_of
from chappe_ingest.domain.verify import (
    CANDIDATES_MAX,
    VERIFIED,
    Headers,
    Verdict,
    same,
    values,
)

VENDOR_HOSTS: Final = ()
NAME_HEADERS: Final = ("x-event", "x-topic", "x-event-type", "x-webhook-event", "x-webhook-topic")
ID_HEADERS: Final = (*standard_webhooks.ID_HEADERS, "x-delivery-id", "idempotency-key")
HEADERS: Final = frozenset({"content-type", *NAME_HEADERS, *ID_HEADERS})
CONTENT_TYPES: Final = frozenset({"", "application/json", "*+json", "text/plain", mapped.FORM})
WE_ISSUE_SECRET: Final = True
SETUP: Final = (
    "Let your shop send each event by POST, as JSON, to: {url}",
    "Sign the raw body: X-Signature = hex HMAC-SHA256 with this secret: {secret}",
    "Where it cannot sign, let it send the secret: Authorization: Bearer {secret}",
    "A payload of another shape needs a mapping: docs/sources/generic.md has ready ones.",
    "Send one, then look at: chappe sources status {name}",
)

_HMAC_HEADERS: Final = ("x-signature", "x-hub-signature-256", "x-webhook-signature")
_TOKEN_HEADERS: Final = ("x-token", "x-webhook-token", "x-api-key")


def make_normaliser(config: Mapping[str, Any]) -> Normaliser:
    """The normaliser of one mapping; ``{}`` is the shape without a mapping.

    Raises ``BadConfig``, a ``ValueError``.
    """
    if not set(config) - {"signature"}:
        mapping_of(config)
        return _plain
    mapping = mapping_of(config)

    def understand(raw: RawRecord, links: Links) -> Normalised:
        return mapped.normalise(raw, links, mapping)

    return understand


def make_verify(config: Mapping[str, Any]) -> Verify:
    """The check that the mapping's ``signature`` describes, else ``verify``.

    Raises ``BadConfig``, a ``ValueError``.
    """
    signature = mapping_of(config).signature
    if signature is None:
        return verify

    def check(body: bytes, headers: Headers, secrets: Sequence[str], now: dt.datetime) -> Verdict:
        return _verify_as(signature, body, headers, secrets, now)

    return check


def kept_headers(config: Mapping[str, Any]) -> frozenset[str]:
    """``HEADERS``, and those that the mapping reads. Raises ``BadConfig``."""
    return HEADERS | headers_of(mapping_of(config))


def normalise(raw: RawRecord, links: Links) -> Normalised:
    """The event of a body in our own words. Raises ``Unreadable``."""
    return _plain(raw, links)


def verify(body: bytes, headers: Headers, secrets: Sequence[str], now: dt.datetime) -> Verdict:
    """Without a mapping: Standard Webhooks, an HMAC-SHA256 of the body, or the secret as a token.

    Whichever the delivery brings; it has to be right.
    """
    if standard_webhooks.is_signed(headers):
        return standard_webhooks.verify(body, headers, secrets, now)
    given = values(headers, *_HMAC_HEADERS)[:CANDIDATES_MAX]
    if given:
        texts = [each.strip().removeprefix("sha256=") for each in given]
        candidates = [decode(text) for text in texts for decode in _DECODERS.values()]
        keys = [secret.encode("utf-8", "surrogatepass") for secret in secrets]
        matched = signatures.hmac_matches(body, candidates, keys)
        return signatures.verdict(
            matched=matched, header="X-Signature", given=given, secrets=secrets
        )
    return _token(headers, ("authorization", *_TOKEN_HEADERS), secrets)


def entity(body: bytes, headers: Headers) -> str | None:
    """The checkout or cart, else the person, else the object, where they usually stand."""
    del headers
    seen: Any = facts.glance(body)
    names = ("checkout_token", "cart_token", "cart_id", "email", "customer_id", "order_id", "id")
    inner = [facts.inside(seen, name) for name in ("data", "order", "cart", "customer")]
    return facts.first_id(*(facts.inside(place, n) for place in (*inner, seen) for n in names))


_DECODERS: Final = {"hex": signatures.from_hex, "base64": signatures.from_base64}


def _verify_as(
    how: Signature, body: bytes, headers: Headers, secrets: Sequence[str], now: dt.datetime
) -> Verdict:
    header = how.header.lower()
    if how.kind == "standard-webhooks":
        return standard_webhooks.verify(body, headers, secrets, now)
    if how.kind == "token":
        return _token(headers, (header,), secrets)
    given = values(headers, header)[:CANDIDATES_MAX]
    decode = _DECODERS[how.encoding]
    candidates = [decode(each.strip().removeprefix(how.prefix)) for each in given]
    keys = [_key(secret, how.key_encoding) for secret in secrets]
    matched = signatures.hmac_matches(body, candidates, keys, how.algorithm)
    return signatures.verdict(matched=matched, header=how.header, given=given, secrets=secrets)


def _key(secret: str, encoding: str) -> bytes:
    decode = _DECODERS.get(encoding)
    return decode(secret) if decode else secret.encode("utf-8", "surrogatepass")


def _token(headers: Headers, names: tuple[str, ...], secrets: Sequence[str]) -> Verdict:
    given = [each.strip() for each in values(headers, *names)[:CANDIDATES_MAX]]
    if not given:
        return Verdict(False, "neither a signature nor a token was sent")
    if not any(secrets):
        return Verdict(False, "the source has no secret yet")
    matched = False
    for each in given:
        text = each[7:].strip() if each[:7].lower() == "bearer " else each
        for secret in secrets:
            matched |= same(text, secret)
    return VERIFIED if matched else Verdict(False, "the token is not the source's secret")


def _plain(raw: RawRecord, links: Links) -> Normalised:
    warnings: list[str] = []
    body = Reader(mapped.document(raw), warnings)
    headers = Reader(dict(raw.headers), warnings, "header:")
    inside = isinstance(body.fields.get("data"), dict)
    names = ("type", "event", "topic", "name") if inside else ("type", "event", "topic")
    spoken = body.text(*names) or headers.text(*NAME_HEADERS)
    if spoken is None:
        raise Unreadable('no event is named: "type" or the header X-Event is expected')
    delivery = Delivery(
        raw=raw,
        topic=spoken,
        warnings=warnings,
        links=links,
        test=body.fields.get("test") is True,
    )
    envelope = ("type", "event", "topic", "timestamp", "occurred_at", "test", "messageId")
    rest = {name: value for name, value in body.fields.items() if name not in envelope}
    data = body.nested("data") if inside else Reader(rest, warnings)
    people = {n: body.fields[n] for n in ("identifiers", "traits", "consent") if n in body.fields}
    data = data.having({**people, **data.fields})
    at = delivery.at(body.time("timestamp", "occurred_at"), data.time("occurred_at", "created_at"))
    meant = shape.mean(delivery, shape.canonical(spoken), data, at=at)
    if not meant.identifiers:
        delivery.note("names nobody: an e-mail or external_id is missing")
    given = headers.id(*ID_HEADERS) or (body.id("id", "messageId") if inside else None)
    return delivery.told((meant,), given or facts.body_hash(raw))
