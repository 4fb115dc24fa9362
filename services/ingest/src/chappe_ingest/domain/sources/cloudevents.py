"""CloudEvents 1.0 over HTTP: structured, batch and binary, signed as Standard Webhooks or with
a bearer token (CloudEvents "HTTP Protocol Binding" and "HTTP 1.1 Web Hooks" 1.0).
"""

import base64
import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast
from urllib.parse import unquote_to_bytes

from chappe.events import RawRecord
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Normalised
from chappe_ingest.domain.reading import Json, Reader, Unreadable, clean_text, parse, parse_any
from chappe_ingest.domain.sources import cloudevents_batch as batches
from chappe_ingest.domain.sources import facts, standard_webhooks
from chappe_ingest.domain.sources import generic_shape as shape
from chappe_ingest.domain.sources.facts import Delivery
from chappe_ingest.domain.verify import CANDIDATES_MAX, VERIFIED, Headers, Verdict, same, values

VENDOR_HOSTS: Final = ()
ATTRIBUTES: Final = (
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "subject",
    "dataschema",
    "datacontenttype",
)
HEADERS: Final = frozenset(
    {"content-type", *(f"ce-{name}" for name in ATTRIBUTES), *standard_webhooks.ID_HEADERS}
)
CONTENT_TYPES: Final = frozenset(
    {"", "application/json", "application/cloudevents+json", batches.BATCH_TYPE, "*+json"}
)
WE_ISSUE_SECRET: Final = True
SETUP: Final = (
    "Send events to this address by POST: {url}",
    "Structured (application/cloudevents+json), batch, or binary with ce-* headers.",
    "Sign them as Standard Webhooks with this secret: {secret}",
    "Or, over TLS from server to server: Authorization: Bearer {secret}",
    "type is one of our names (order.placed) or your own, which becomes custom.NAME.",
    "Send one, then look at: chappe sources status {name}",
)

_ORIGIN = re.compile(r"[A-Za-z0-9.:/_*-]{1,200}")
_JSON_TYPE = re.compile(r"\s*(?:[\w.+-]+/(?:[\w.+-]+\+)?json)\s*(?:;.*)?", re.IGNORECASE)


def verify(body: bytes, headers: Headers, secrets: Sequence[str], now: dt.datetime) -> Verdict:
    """A Standard Webhooks signature where there is one, else ``Authorization: Bearer SECRET``."""
    if standard_webhooks.is_signed(headers):
        return standard_webhooks.verify(body, headers, secrets, now)
    return bearer(headers, secrets)


def bearer(headers: Headers, secrets: Sequence[str]) -> Verdict:
    given = values(headers, "authorization")[:CANDIDATES_MAX]
    tokens = [value.strip() for value in given]
    tokens = [token[7:].strip() for token in tokens if token[:7].lower() == "bearer "]
    if not tokens:
        return Verdict(False, "neither webhook-signature nor Authorization: Bearer was sent")
    if not any(secrets):
        return Verdict(False, "the source has no secret yet")
    matched = False
    for token in tokens:
        for secret in secrets:
            matched |= same(token, secret)
    if matched:
        return VERIFIED
    return Verdict(False, "the bearer token is not the source's secret")


def handshake(
    method: str, headers: Headers, query: str
) -> tuple[int, bytes, Mapping[str, str]] | None:
    """A sender asks by OPTIONS whether its events are wanted; a source that exists says yes."""
    del query
    origins = values(headers, "webhook-request-origin")
    if method != "OPTIONS" or not origins or not _ORIGIN.fullmatch(origins[0]):
        return None
    allowed = {"webhook-allowed-origin": origins[0], "webhook-allowed-rate": "*", "allow": "POST"}
    return 200, b"", allowed


def split(body: bytes, headers: Headers) -> Sequence[tuple[bytes, Mapping[str, str]]]:
    """The events of a batch, else the one that came. Raises ``Unreadable``."""
    if values(headers, "ce-specversion") and not _is_structured(_media_type(headers)):
        return [(body, {})]
    return batches.split(body, headers)


def entity(body: bytes, headers: Headers) -> str | None:
    """The checkout or cart, else the person, else the subject."""
    subject = next(iter(values(headers, "ce-subject")), None)
    seen: Any = facts.glance(body)
    data = facts.inside(seen, "data") or seen
    names = ("checkout_token", "cart_token", "email", "external_id", "user_id", "order_id", "id")
    return facts.first_id(
        *(facts.inside(data, name) for name in names),
        facts.inside(seen, "subject"),
        subject,
        facts.inside(seen, "id"),
    )


def normalise(raw: RawRecord, links: Links) -> Normalised:
    """The fact of one event. Raises ``Unreadable`` when a required attribute is missing."""
    warnings: list[str] = []
    attributes, data = _binary(raw) if _is_binary(raw) else _structured(raw)
    event = Reader(attributes, warnings)
    missing = [name for name in ("specversion", "id", "source", "type") if event.id(name) is None]
    if missing:
        raise Unreadable(f"no CloudEvent: {', '.join(missing)} missing")
    if (event.text("specversion") or "").partition(".")[0] != "1":
        raise Unreadable("CloudEvents of another version than 1.0 are not understood")
    spoken = event.text("type") or ""
    delivery = Delivery(raw=raw, topic=spoken, warnings=warnings, links=links)
    body = Reader(data, warnings, "data.")
    meant = shape.mean(
        delivery,
        shape.canonical(spoken),
        body,
        at=delivery.at(event.time("time"), body.time("occurred_at", "created_at")),
        subject=event.id("subject"),
    )
    if not meant.identifiers:
        delivery.note("names nobody: an e-mail, external_id or subject is missing")
    key = f"{event.id('source')} {event.id('id')}"
    return delivery.told((meant,), key)


def _is_binary(raw: RawRecord) -> bool:
    media = raw.headers.get("content-type", "").partition(";")[0].strip().lower()
    return "ce-type" in raw.headers and not _is_structured(media)


def _is_structured(media_type: str) -> bool:
    return media_type.startswith("application/cloudevents")


def _media_type(headers: Headers) -> str:
    given = next(iter(values(headers, "content-type")), "")
    return given.partition(";")[0].strip().lower()


def _structured(raw: RawRecord) -> tuple[Json, Json]:
    document = parse(raw.body)
    data = document.get("data")
    if data is None and isinstance(document.get("data_base64"), str):
        data = _from_base64(document["data_base64"], document.get("datacontenttype"))
    return document, _object(data)


def _binary(raw: RawRecord) -> tuple[Json, Json]:
    attributes: Json = {
        name: _header_value(raw.headers[f"ce-{name}"])
        for name in ATTRIBUTES
        if f"ce-{name}" in raw.headers
    }
    return attributes, _object(parse_any(raw.body) if raw.body.strip() else {})


def _object(data: Any) -> Json:
    if isinstance(data, dict):
        return cast("Json", data)
    return {} if data is None else {"value": data}


def _from_base64(text: str, content_type: object) -> Any:
    if isinstance(content_type, str) and not _JSON_TYPE.fullmatch(content_type):
        return None
    try:
        body = base64.b64decode(text, validate=True)
    except ValueError:
        raise Unreadable("data_base64 is no base64") from None
    return parse_any(body)


def _header_value(text: str) -> str:
    """Unquoted if quoted, then percent-decoded once (HTTP Protocol Binding, 3.1.3.2)."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    try:
        return clean_text(unquote_to_bytes(text.encode("utf-8", "replace")).decode("utf-8"))
    except UnicodeDecodeError:
        raise Unreadable("a ce- header is not UTF-8 after percent-decoding") from None
