"""Saleor's webhooks: our own subscription query, the older array, and NOTIFY_USER.

A subscription's payload is whatever its query asks for, so every field may be missing. Saleor
sends no delivery id: a repeat is known by its event, object, ``issuedAt`` and body.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, cast

from chappe.events import RawRecord
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Normalised, Normaliser
from chappe_ingest.domain.reading import Json, Reader, Unreadable, parse_any
from chappe_ingest.domain.sources import facts
from chappe_ingest.domain.sources.facts import Delivery, Meant
from chappe_ingest.domain.sources.saleor_orders import CANCELLATIONS, REFUNDS, UPDATES, order_news
from chappe_ingest.domain.sources.saleor_people import CUSTOMERS, checkout_news, customer_news
from chappe_ingest.domain.sources.saleor_reading import Told, local_id
from chappe_ingest.domain.sources.saleor_signature import verify
from chappe_ingest.domain.verify import Headers

VENDOR_HOSTS: Final = ("saleor.cloud",)
HEADERS: Final = frozenset(
    f"{prefix}saleor-{name}" for prefix in ("", "x-") for name in ("event", "domain", "api-url")
)
WE_ISSUE_SECRET: Final = False
SETUP: Final = (
    "In the Saleor dashboard open Extensions and add a custom app.",
    "Permissions: MANAGE_ORDERS, MANAGE_USERS, MANAGE_CHECKOUTS. Then create a webhook in it.",
    "Target URL: {url}",
    "Asynchronous events: everything under Order, Checkout and Customer.",
    "Paste the subscription query of docs/sources/saleor.md, and leave the secret key empty.",
    "Say where Saleor's keys are: chappe sources set-secret {name} --secret",
    "https://YOUR-SALEOR-HOST/.well-known/jwks.json (or paste that document itself)",
    "Place a test order, then look at: chappe sources status {name}",
)

_WRAPPINGS: Final = ("data", "event")
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def make_normaliser(config: Mapping[str, Any]) -> Normaliser:
    """``{"recovery_url": "https://shop.example/checkout?id={token}"}`` gives checkouts a way back.

    Raises ``ValueError`` on an address that is not https.
    """
    template = config.get("recovery_url")
    if template is not None and not str(template).startswith("https://"):
        raise ValueError("recovery_url: an https address with {token} is expected")

    def understand(raw: RawRecord, links: Links) -> Normalised:
        return _normalise(raw, links, str(template) if template else None)

    return understand


def normalise(raw: RawRecord, links: Links) -> Normalised:
    """The facts of one webhook; an event that we do not know gives none, and a warning."""
    return _normalise(raw, links, None)


def entity(body: bytes, headers: Headers) -> str | None:
    """The checkout, also of an order, else the object."""
    del headers
    seen: Any = facts.glance(body)
    seen = facts.inside(seen, "data") or facts.inside(seen, "event") or seen
    seen = facts.inside(seen, 0) or facts.inside(seen, "payload") or seen
    nested = [facts.inside(seen, name) for name in ("order", "checkout", "user", "customer")]
    for about in (facts.inside(seen, "fulfillment", "order"), *nested, seen):
        names = ("checkoutId", "token", "id")
        found = facts.first_id(*(facts.inside(about, name) for name in names))
        if found is not None:
            return local_id(found)
    return None


_Understand: TypeAlias = Callable[[Told], Meant]


def _normalise(raw: RawRecord, links: Links, recovery_url: str | None) -> Normalised:
    warnings: list[str] = []
    whole, meta = _unwrapped(raw, warnings)
    topic = _topic(raw, whole)
    if "notify_event" in whole.fields or topic == "notify_user":
        topic = f"notify_user {whole.text('notify_event') or ''}".strip().lower()
        whole = whole.nested("payload")
    family = _FAMILIES.get(_KNOWN.get(topic, ""))
    delivery = Delivery(
        raw=raw,
        topic=topic,
        warnings=warnings,
        links=dataclasses.replace(links, vendor=(*links.vendor, *VENDOR_HOSTS)),
    )
    issued_at = whole.time("issuedAt") or meta.time("issued_at", "issuedAt")
    about = _about(whole, topic)
    key = f"{topic[:60]} {about.id('id', 'token') or ''} {issued_at or ''} {facts.body_hash(raw)}"
    if family is None:
        if topic not in _SILENT:
            delivery.note("not understood yet; it is stored")
        return Normalised(delivery=key, warnings=tuple(warnings))
    told = Told(
        delivery=delivery,
        topic=topic,
        about=about,
        whole=whole,
        issued_at=issued_at,
        recovery_url=recovery_url,
    )
    if topic == "order_bulk_created":
        rows = [dataclasses.replace(told, about=each) for each in whole.rows("orders")]
        return delivery.told([family(each) for each in rows or [told]], key)
    return delivery.told((family(told),), key)


def _unwrapped(raw: RawRecord, warnings: list[str]) -> tuple[Reader, Reader]:
    """The payload and its ``meta``: an object, the older array of one, or a dry run's wrapping."""
    document = parse_any(raw.body)
    if isinstance(document, list):
        rows = cast("list[Any]", document)
        document = rows[0] if rows else None
    if not isinstance(document, dict):
        raise Unreadable("neither a subscription's payload nor an array with one object")
    whole = Reader(cast("Json", document), warnings)
    for wrapping in _WRAPPINGS:
        if isinstance(whole.fields.get(wrapping), dict):
            whole = whole.nested(wrapping)
    named = _named_after_event(whole)
    return (whole.nested(named) if named else whole), whole.nested("meta")


def _named_after_event(whole: Reader) -> str | None:
    """A subscription by an event's own field, ``orderCreated``, gives that field alone."""
    names = [name for name, value in whole.fields.items() if isinstance(value, dict)]
    return names[0] if len(names) == 1 and _WORDS.sub("_", names[0]).lower() in _KNOWN else None


def _topic(raw: RawRecord, whole: Reader) -> str:
    """Lower case with underscores: from the header, else from the payload's GraphQL type."""
    stated = raw.headers.get("saleor-event") or raw.headers.get("x-saleor-event")
    field = whole.where.rstrip(".").rpartition(".")[2]
    spoken = whole.text("__typename") or (field if field not in _WRAPPINGS else "")
    return (stated or _WORDS.sub("_", spoken)).strip().lower()


def _about(whole: Reader, topic: str) -> Reader:
    """The object of the event: under its name, within its fulfilment, or the payload itself."""
    family = _KNOWN.get(topic, "")
    if family == "order" and "fulfillment" in whole.fields and "order" not in whole.fields:
        return whole.nested("fulfillment").nested("order")
    for name in _UNDER.get(family, ()):
        if isinstance(whole.fields.get(name), dict):
            return whole.nested(name)
    return whole


_FAMILIES: Final[dict[str, _Understand]] = {
    "order": order_news,
    "checkout": checkout_news,
    "customer": customer_news,
}
_UNDER: Final = {
    "order": ("order",),
    "checkout": ("checkout",),
    "customer": ("user", "customer"),
}
_KNOWN: Final[dict[str, str]] = {
    **dict.fromkeys(
        (
            "order_created",
            "order_paid",
            "order_fully_paid",
            "order_fulfilled",
            "order_bulk_created",
            "notify_user order_confirmation",
            "notify_user order_payment_confirmation",
            *CANCELLATIONS,
            *REFUNDS,
            *UPDATES,
        ),
        "order",
    ),
    **dict.fromkeys(
        (
            "checkout_created",
            "checkout_updated",
            "checkout_fully_paid",
            "checkout_fully_authorized",
            "checkout_metadata_updated",
        ),
        "checkout",
    ),
    **dict.fromkeys(CUSTOMERS, "customer"),
}
_SILENT: Final = frozenset(
    f"{prefix}{name}"
    for prefix, names in (
        ("draft_order_", ("created", "updated", "deleted")),
        (
            "account_",
            ("change_email_requested", "delete_requested", "set_password_requested"),
        ),
        (
            "notify_user ",
            (
                "account_password_reset",
                "account_change_email_request",
                "account_delete",
                "account_set_customer_password",
                "account_set_staff_password",
                "invoice_ready",
            ),
        ),
    )
    for name in names
)
"""Understood, and no fact about a contact: drafts, and mails that carry somebody's secret link."""


__all__ = [
    "HEADERS",
    "SETUP",
    "VENDOR_HOSTS",
    "WE_ISSUE_SECRET",
    "entity",
    "make_normaliser",
    "normalise",
    "verify",
]
