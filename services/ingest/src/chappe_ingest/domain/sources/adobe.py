"""Adobe Commerce (Magento): I/O Events, and the signature of its synchronous webhooks.

I/O Events are CloudEvents whose ``data.value`` is the saved object, with the fields the merchant
picked: every one may be missing. Adobe signs for all its customers with the same keys, so a
source should also name its own ``client_id``.
"""

import base64
import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from chappe.events import RawRecord
from chappe_ingest.domain.kind import Verify
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Normalised
from chappe_ingest.domain.reading import Reader, parse
from chappe_ingest.domain.sources import cloudevents_batch as batches
from chappe_ingest.domain.sources import facts
from chappe_ingest.domain.sources import generic_signatures as signatures
from chappe_ingest.domain.sources.adobe_orders import invoice, order_news, refund, shipment
from chappe_ingest.domain.sources.adobe_people import (
    cart_item,
    cart_news,
    customer_news,
    product_news,
    subscriber_news,
)
from chappe_ingest.domain.sources.adobe_reading import Told
from chappe_ingest.domain.sources.facts import Delivery, Meant
from chappe_ingest.domain.verify import CANDIDATES_MAX, Headers, Verdict, values

VENDOR_HOSTS: Final = ()
HEADERS: Final = frozenset(
    {"content-type", "x-adobe-event-id", "x-adobe-event-code", "x-adobe-retry-count"}
)
CONTENT_TYPES: Final = frozenset(
    {
        "",
        "application/json",
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
    }
)
WE_ISSUE_SECRET: Final = False
SETUP: Final = (
    "In the Adobe Developer Console add I/O Events for Commerce to your project.",
    "Under 'How to receive events' choose webhook, one event at a time, with this URL: {url}",
    "Subscribe: observer.sales_order_save_after, observer.customer_save_commit_after,",
    "observer.sales_quote_save_after, observer.newsletter_subscriber_save_commit_after.",
    "The public keys: x-adobe-public-key1-path and 2 of a delivery, on static.adobeioevents.com.",
    'Give both to Chappe: chappe sources set-secret {name} --secret "https://… https://…"',
    "Place a test order, then look at: chappe sources status {name}",
)

_EVENT_SIGNATURES: Final = ("x-adobe-digital-signature-1", "x-adobe-digital-signature-2")
_WEBHOOK_SIGNATURE: Final = "x-adobe-commerce-webhook-signature"
_TOKENS_MAX: Final = 4
_CHALLENGE = re.compile(r"[A-Za-z0-9_.~=+-]{1,200}")


def verify(body: bytes, headers: Headers, secrets: Sequence[str], now: dt.datetime) -> Verdict:
    """RSA-SHA256 by a key whose PEM is among ``secrets``; several may stand in one secret.

    I/O Events sign the raw body, each delivery once per live key; Commerce's own webhooks sign
    the base64 of it. No time is signed.
    """
    del now
    events = values(headers, *_EVENT_SIGNATURES)[:CANDIDATES_MAX]
    webhooks = values(headers, _WEBHOOK_SIGNATURE)[:CANDIDATES_MAX]
    keys = [key for secret in secrets for key in signatures.rsa_keys(secret)]
    signed = [(body, each) for each in events[:_TOKENS_MAX]]
    signed += [(base64.b64encode(body), each) for each in webhooks[:_TOKENS_MAX]]
    matched = False
    for message, text in signed:
        for key in keys:
            matched |= signatures.rsa_matches(message, signatures.from_base64(text), key)
    if not keys and any(secrets):
        return Verdict(False, "the source's secret is no PEM public key")
    return signatures.verdict(
        matched=matched,
        header=_EVENT_SIGNATURES[0],
        given=[*events, *webhooks],
        secrets=secrets,
    )


def make_verify(config: Mapping[str, Any]) -> Verify:
    """As ``verify``; with ``{"client_id": …}`` only what Adobe addressed to that project."""
    wanted = config.get("client_id")

    def check(body: bytes, headers: Headers, secrets: Sequence[str], now: dt.datetime) -> Verdict:
        said = verify(body, headers, secrets, now)
        if not said.verified or not wanted:
            return said
        seen: Any = facts.glance(body)
        addressed = [facts.inside(each, "recipient_client_id") for each in _each(seen)]
        if any(client != wanted for client in addressed):
            return Verdict(False, "the event is addressed to another project's client id")
        return said

    return check


def _each(seen: Any) -> list[Any]:
    return cast("list[Any]", seen) if isinstance(seen, list) else [seen]


def handshake(
    method: str, headers: Headers, query: str
) -> tuple[int, bytes, Mapping[str, str]] | None:
    """Adobe registers an address by asking for its ``challenge`` back."""
    del headers
    if method != "GET":
        return None
    for part in query[:1_000].split("&"):
        name, _, value = part.partition("=")
        if name == "challenge" and _CHALLENGE.fullmatch(value):
            return 200, value.encode(), {"content-type": "text/plain; charset=utf-8"}
    return None


def split(body: bytes, headers: Headers) -> Sequence[tuple[bytes, Mapping[str, str]]]:
    """Adobe's batch delivery sends an array of events."""
    return batches.split(body, headers)


def entity(body: bytes, headers: Headers) -> str | None:
    """The cart, also of an order, else the order or customer."""
    del headers
    value = facts.inside(facts.glance(body), "data", "value")
    names = ("quote_id", "order_id", "entity_id", "id", "increment_id", "sku")
    return facts.first_id(*(facts.inside(value, name) for name in names))


def normalise(raw: RawRecord, links: Links) -> Normalised:
    """The facts of one event; a type that we do not know gives none, and a warning."""
    warnings: list[str] = []
    body = Reader(parse(raw.body), warnings)
    type_, value = _told(body)
    delivery = Delivery(raw=raw, topic=type_, warnings=warnings, links=links)
    event_id = body.id("id", "event_id", "eventid")
    key = f"{body.id('source') or ''} {event_id}" if event_id else facts.body_hash(raw)
    understand = next((how for pattern, how in _TYPES if pattern.search(type_)), None)
    if understand is None:
        delivery.note("not understood yet; it is stored")
        return Normalised(delivery=key, warnings=tuple(warnings))
    told = Told(delivery=delivery, type=type_, value=value, sent_at=body.time("time"))
    return delivery.told(understand(told), key)


def _told(body: Reader) -> tuple[str, Reader]:
    """The type without Adobe's prefix, and the object; a webhook is known by what it carries."""
    full = (body.text("type") or "").lower()
    if full:
        data = body.nested("data")
        place = max(full.find("observer."), full.find("plugin."))
        value = data.nested("value") if "value" in data.fields else data
        return full[place:] if place >= 0 else full, value
    for name, meant in _WEBHOOK_OBJECTS.items():
        if isinstance(body.fields.get(name), dict):
            return f"webhook.{meant}", body.nested(name)
    return "webhook", body


_Understand: TypeAlias = Callable[[Told], Iterator[Meant]]


_WEBHOOK_OBJECTS: Final = {
    "order": "sales_order_save",
    "customer": "customer_save",
    "quote": "sales_quote_save",
    "cart": "sales_quote_save",
    "product": "catalog_product_save",
}
_TYPES: Final[tuple[tuple[re.Pattern[str], _Understand], ...]] = (
    (re.compile(r"creditmemo(_repository)?[._](save|refund)|order_creditmemo_refund"), refund),
    (re.compile(r"invoice(_repository)?[._](save|pay|register)"), invoice),
    (re.compile(r"shipment(_repository)?[._]save"), shipment),
    (
        re.compile(
            r"sales_order(_(save|place|cancel)|_save_commit)|order_cancel_after"
            r"|order_management\.(place|cancel)|order_repository\.save|checkout_submit_all_after"
        ),
        order_news,
    ),
    (re.compile(r"newsletter.*subscriber.*(save|subscribe)"), subscriber_news),
    (
        re.compile(
            r"customer_(save|delete|register)|customer_data_object"
            r"|customer_repository\.(save|delete)|account_management\.create"
        ),
        customer_news,
    ),
    (re.compile(r"quote_save|cart_repository\.save"), cart_news),
    (re.compile(r"cart_product_add|quote_add_item"), cart_item),
    (re.compile(r"catalog_product_(save|delete)|product_repository\.(save|delete)"), product_news),
)
"""Observers say ``sales_order_save_after``, plugins ``…order_repository.save``."""
