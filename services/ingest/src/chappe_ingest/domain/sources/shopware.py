"""Shopware 6's app webhooks: business events with their order or customer, and thin ``*.written``.

The body names the shop, the event's id and its time, so all three are signed. A ``.written``
event names only what was written: it becomes an event with ids, and its shop is asked for the rest.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from chappe.events import RawRecord
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Normalised
from chappe_ingest.domain.reading import Json, Reader, parse, parse_time
from chappe_ingest.domain.sources import facts
from chappe_ingest.domain.sources import generic_signatures as signatures
from chappe_ingest.domain.sources.facts import Delivery, Meant
from chappe_ingest.domain.sources.shopware_events import (
    CUSTOMERS,
    NEWSLETTER,
    customer_news,
    newsletter_news,
    order_news,
)
from chappe_ingest.domain.sources.shopware_reading import WRITTEN, Told
from chappe_ingest.domain.sources.shopware_written import written_news
from chappe_ingest.domain.verify import Headers, Verdict, values

VENDOR_HOSTS: Final = ()
HEADERS: Final = frozenset(
    {
        "sw-version",
        "sw-context-language",
        "sw-user-language",
        "x-shopware-event-id",
        "x-shopware-sequence",
        "x-shopware-attempt",
    }
)
WE_ISSUE_SECRET: Final = False
SETUP: Final = (
    "Shopware sends webhooks for apps: use your app, or make one (docs/sources/shopware.md).",
    "In its manifest.xml give each <webhook> this url: {url}",
    "Take the events that docs/sources/shopware.md lists; checkout.order.placed is the first.",
    "Install the app. The shop secret is what your app's registration answered with.",
    "Give it to Chappe: chappe sources set-secret {name} --secret SHOP_SECRET",
    "For *.written events: chappe sources api-token {name} --token ACCESS_KEY:SECRET (docs)",
    "Place a test order, then look at: chappe sources status {name}",
)

REPLAY_AFTER: Final = dt.timedelta(hours=6)
"""Shopware retries for 4.5 hours, always with the first attempt's time."""

_SECONDS_MAX: Final = 100_000_000_000
_SIGNATURES: Final = ("shopware-shop-signature", "shopware-shop-signature-previous")


def verify(body: bytes, headers: Headers, secrets: Sequence[str], now: dt.datetime) -> Verdict:
    """Hex HMAC-SHA256 of the raw body with the shop's secret, not older than ``REPLAY_AFTER``.

    While a secret is being rotated Shopware also signs with the one before, in
    ``shopware-shop-signature-previous``.
    """
    given = values(headers, *_SIGNATURES)
    keys = [secret.encode("utf-8", "surrogatepass") for secret in secrets]
    matched = signatures.hmac_matches(body, map(signatures.from_hex, given), keys)
    said = signatures.verdict(matched=matched, header=_SIGNATURES[0], given=given, secrets=secrets)
    if not said.verified:
        return said
    at = _signed_time(body)
    if at is not None and abs(now - at) > REPLAY_AFTER:
        return Verdict(False, "the signed timestamp is more than 6 hours away from now")
    return said


def entity(body: bytes, headers: Headers) -> str | None:
    """The order, else the customer, else what was written."""
    del headers
    payload = facts.inside(facts.glance(body), "data", "payload")
    return facts.first_id(
        facts.inside(payload, "order", "id"),
        facts.inside(payload, "customer", "id"),
        facts.inside(payload, "newsletterRecipient", "email"),
        facts.inside(payload, 0, "primaryKey"),
    )


def normalise(raw: RawRecord, links: Links) -> Normalised:
    """The facts of one webhook; an event that we do not know gives none, and a warning."""
    return _normalised(raw, None, links)


def hydrated(raw: RawRecord, document: bytes, links: Links) -> Normalised:
    """As ``normalise``, with what a search of the Admin API found. Raises ``Unreadable``."""
    return _normalised(raw, parse(document), links)


def _normalised(raw: RawRecord, found: Json | None, links: Links) -> Normalised:
    warnings: list[str] = []
    body = Reader(parse(raw.body), warnings)
    data, source = body.nested("data"), body.nested("source")
    event = (data.text("event") or "").lower()
    delivery = Delivery(raw=raw, topic=event, warnings=warnings, links=links)
    told = Told(
        delivery=delivery,
        event=event,
        data=data,
        sent_at=parse_time(body.fields.get("timestamp")),
        found=_by_id(Reader(found or {}, warnings)),
    )
    event_id = source.id("eventId") or raw.headers.get("x-shopware-event-id")
    key = f"{event[:100]} {event_id[:200]}" if event_id else f"{event[:100]} {facts.body_hash(raw)}"
    understand = _understand(event)
    if understand is None:
        delivery.note("not understood yet; it is stored")
        return Normalised(delivery=key, warnings=tuple(warnings))
    return delivery.told(understand(told), key)


_Understand: TypeAlias = Callable[[Told], Iterable[Meant]]


def _by_id(found: Reader) -> dict[str, Reader]:
    rows = ((each.id("id"), each) for each in found.rows("data"))
    return {number: each for number, each in rows if number is not None}


def _understand(event: str) -> _Understand | None:
    if event in CUSTOMERS:
        return customer_news
    if event in NEWSLETTER:
        return newsletter_news
    if event in WRITTEN:
        return written_news
    if event == "checkout.order.placed" or event.startswith("state_enter.order"):
        return order_news
    return None


class _Stamped(msgspec.Struct):
    timestamp: Any = None


_stamped = msgspec.json.Decoder(_Stamped)


def _signed_time(body: bytes) -> dt.datetime | None:
    try:
        seconds = _stamped.decode(body).timestamp
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    known = isinstance(seconds, int) and abs(seconds) < _SECONDS_MAX
    return parse_time(seconds) if known else None
