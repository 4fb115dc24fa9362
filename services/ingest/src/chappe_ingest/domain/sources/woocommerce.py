"""WooCommerce's webhooks, and the abandoned carts of its CartFlows plugin.

WooCommerce never repeats a delivery and its delivery id collides, so ours is made of the body.
It signs nothing when it pings a new webhook, and CartFlows signs nothing at all: those come
as forms, and only their address says whose they are.
"""

import base64
import datetime as dt
import hashlib
import hmac
import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast
from urllib.parse import parse_qsl

import msgspec

from chappe.events import RawRecord
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain import verify as checks
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Normalised, Normaliser
from chappe_ingest.domain.reading import Json, Reader, Unreadable, clean_text, parse
from chappe_ingest.domain.sources import facts
from chappe_ingest.domain.sources import woocommerce_cartflows as cartflows
from chappe_ingest.domain.sources import woocommerce_legacy as legacy
from chappe_ingest.domain.sources import woocommerce_shop as shop
from chappe_ingest.domain.sources.facts import Meant, not_understood, told

VENDOR_HOSTS: Final[tuple[str, ...]] = ()
"""Every shop is on a host of its own: ``--domain``."""

FORM: Final = "application/x-www-form-urlencoded"
CONTENT_TYPES: Final = frozenset({"", "application/json", "*+json", FORM})
HEADERS: Final = frozenset(
    {
        "x-wc-webhook-topic",
        "x-wc-webhook-resource",
        "x-wc-webhook-event",
        "x-wc-webhook-id",
    }
)
WE_ISSUE_SECRET: Final = True
SETUP: Final = (
    "In WordPress open WooCommerce > Settings > Advanced > Webhooks and press 'Add webhook'.",
    "Status Active, Delivery URL {url}, Secret {secret}, API version 'WP REST API Integration v3'.",
    "Do so for the topics: Order created, Order updated, Customer created, Customer updated.",
    "For abandoned carts install 'Cart Abandonment Recovery for WooCommerce', by CartFlows.",
    "Enable its webhook and paste the same URL: it signs nothing, so its carts are unverified.",
    "Add your shop's own domain, so that its links stay in your mails: --domain SHOP.example",
    "Change a test order's status, then look at: chappe sources status {name}",
)

META_KEY_CHARS_MAX: Final = 255
PING: Final = "webhook_id"
FIELDS_MAX: Final = 100
_SIGNATURE: Final = "x-wc-webhook-signature"
_DIGEST_CHARS_MAX: Final = 100

_Topic: TypeAlias = Callable[[shop.Delivery], Meant]
_TOPICS: Final[dict[str, _Topic]] = {
    "order.created": shop.order,
    "order.updated": shop.order,
    "order.restored": shop.order,
    "order.deleted": shop.order_deleted,
    "customer.created": shop.customer,
    "customer.updated": shop.customer,
    "customer.deleted": shop.customer_deleted,
}


def normalise(raw: RawRecord, links: Links) -> Normalised:
    """The facts of one webhook; a ping, a draft or a topic that we do not know gives none."""
    return _normalise(raw, links, shop.CONSENT_KEYS, shop.LOCALE_KEYS)


def make_normaliser(config: Mapping[str, Any]) -> Normaliser:
    """``{"consent_key": …, "locale_key": …}``: the ``meta_data`` that a plugin writes them into.

    Raises ``ValueError`` on anything else.
    """
    unknown = sorted(set(config) - {"consent_key", "locale_key", "loopback"})
    if unknown:
        raise ValueError(f"{unknown[0][:80]}: only consent_key and locale_key are understood")
    for name, key in config.items():
        if not isinstance(key, str) or not 0 < len(key) <= META_KEY_CHARS_MAX:
            raise ValueError(f"{name}: the key of an entry of meta_data is expected")
    consent_key, locale_key = config.get("consent_key"), config.get("locale_key")
    consent_keys = (consent_key,) if consent_key else shop.CONSENT_KEYS
    locale_keys = (locale_key,) if locale_key else shop.LOCALE_KEYS

    def understand(raw: RawRecord, links: Links) -> Normalised:
        return _normalise(raw, links, consent_keys, locale_keys)

    return understand


def _normalise(
    raw: RawRecord, links: Links, consent_keys: tuple[str, ...], locale_keys: tuple[str, ...]
) -> Normalised:
    warnings: list[str] = []
    fields = form(raw.body)
    if fields is not None and is_ping(fields):
        warnings.append("a ping: WooCommerce made the webhook")
        return Normalised(delivery=_delivery(raw, "ping", None), warnings=tuple(warnings))
    body = Reader(parse(raw.body) if fields is None else fields, warnings)
    if cartflows.is_cart(body.fields):
        return _cart(raw, body, links)
    if fields is not None:
        raise Unreadable("a form that is neither a ping nor a CartFlows cart")
    thing = legacy.thing_of(body.fields)
    if thing is not None:
        body = Reader(legacy.as_v3(body.fields, thing), warnings)
    topic = _topic(raw, body, thing)
    key = _delivery(raw, topic, body)
    understand = _TOPICS.get(topic)
    if understand is None:
        return not_understood(f"the topic {topic or '(none)'}", key, warnings)
    meant = understand(
        shop.Delivery(
            raw=raw,
            topic=topic,
            body=body,
            links=links,
            consent_keys=consent_keys,
            locale_keys=locale_keys,
        )
    )
    return told(raw, meant, source_event=topic, test=False, delivery=key, warnings=warnings)


def _cart(raw: RawRecord, body: Reader, links: Links) -> Normalised:
    """Never verified: whoever knows the address can have sent it."""
    unverified = msgspec.structs.replace(raw, verified=False)
    return told(
        unverified,
        cartflows.cart(unverified, body, links),
        source_event=f"cartflows.{body.text('order_status') or 'cart'}",
        test=False,
        delivery=_delivery(raw, "cartflows", None),
        warnings=body.warnings,
    )


def form(body: bytes) -> Json | None:
    """The fields of a form; None for what looks like JSON, or like neither."""
    start = body.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start in {b"", b"{", b"["} or b"=" not in body:
        return None
    try:
        text = body.decode("utf-8")
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        return None
    return {name: clean_text(value) for name, value in pairs}


def unsigned(body: bytes, headers: checks.Headers) -> bool:
    """Whether this is a delivery that its sender never signs: a ping or a CartFlows cart.

    Such a one is answered 200 and kept as not verified. One with a signature header is none.
    """
    if checks.values(headers, _SIGNATURE):
        return False
    fields = form(body)
    return fields is not None and (is_ping(fields) or cartflows.is_cart(fields))


def is_ping(fields: Json) -> bool:
    """What WooCommerce sends when a webhook is saved: only its number."""
    return fields.keys() == {PING}


def verify(
    body: bytes, headers: checks.Headers, secrets: Sequence[str], _now: dt.datetime
) -> checks.Verdict:
    """Base64 HMAC-SHA256 of the body in ``X-WC-Webhook-Signature`` (class-wc-webhook.php).

    WordPress decodes HTML entities in the secret before it signs, so both forms of it count. No
    time is signed. WooCommerce signs with an empty secret too; that never matches.
    """
    given = checks.values(headers, _SIGNATURE)
    if not given:
        if unsigned(body, headers):
            return checks.Verdict(False, "its sender never signs this: taken as unverified")
        return checks.Verdict(False, "the signature header X-WC-Webhook-Signature is missing")
    if len(given) > 1:
        return checks.Verdict(False, "the signature header came more than once")
    keys = dict.fromkeys(key for s in secrets if s for key in (s, html.unescape(s)))
    if not keys:
        return checks.Verdict(False, "the source has no secret yet")
    candidate, matched = _decoded(given[0]), False
    for key in keys:
        digest = hmac.digest(key.encode("utf-8", "surrogatepass"), body, hashlib.sha256)
        matched |= hmac.compare_digest(candidate, digest)
    if matched:
        return checks.VERIFIED
    return checks.Verdict(
        False, "the signature does not match: paste the source's secret into the webhook"
    )


def _decoded(text: str) -> bytes:
    if len(text) > _DIGEST_CHARS_MAX:
        return b""
    try:
        return base64.b64decode(text.strip(), validate=True)
    except ValueError:
        return b""


def _topic(raw: RawRecord, body: Reader, thing: str | None) -> str:
    """As the headers say; without them, as the body looks. None of the headers is signed."""
    said = raw.headers.get("x-wc-webhook-topic", "").strip().lower()
    resource, event = (raw.headers.get(f"x-wc-webhook-{each}") for each in ("resource", "event"))
    if not said and resource and event:
        said = f"{resource}.{event}".strip().lower()
    if not said and "line_items" in body.fields:
        return "order.updated"
    if not said and ("is_paying_customer" in body.fields or thing == "customer"):
        return "customer.updated"
    return said


def _delivery(raw: RawRecord, topic: str, body: Reader | None) -> str:
    """The header's delivery id is a hash of the second: two orders can share it."""
    parts = (raw.headers.get("x-wc-webhook-id", "")[:40], topic[:100])
    about = (body.fields.get("id"), body.fields.get("date_modified_gmt")) if body else ()
    digest = hashlib.sha256(raw.body).hexdigest()
    return " ".join((*parts, *(str(each)[:40] for each in about), digest))


class _Entity(msgspec.Struct):
    customer_id: Any = None
    billing: Any = None
    id: Any = None
    order: Any = None
    customer: Any = None


_entity = msgspec.json.Decoder(_Entity)


def entity(body: bytes, headers: checks.Headers) -> str | None:
    """A CartFlows cart's address, else an order's customer or buyer, else the object."""
    fields = form(body)
    if fields is not None:
        found = cartflows.token(str(fields.get("checkout_url") or ""))
        return found or str(fields.get(PING) or "")[: ids.VALUE_MAX_CHARS] or None
    try:
        seen = _entity.decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    topic = checks.first(headers, "x-wc-webhook-topic") or ""
    billing: Any = seen.billing
    address = cast("Json", billing).get("email") if isinstance(billing, dict) else None
    about = () if topic.startswith("customer.") else (seen.customer_id, address)
    inner = (facts.inside(thing, "id") for thing in (seen.order, seen.customer))
    for each in (*about, seen.id, *inner):
        if isinstance(each, str | int) and not isinstance(each, bool) and each not in ("", 0):
            return str(each).lower()[: ids.VALUE_MAX_CHARS]
    return None
