"""Stripe's events (docs.stripe.com/webhooks), snapshots of v1 objects and thin ones alike.

Amounts are whole numbers of a currency's smallest unit, which is not always the hundredth. A
purchase is known by its payment intent, which its session, its payment and its refunds share.
"""

import dataclasses
import datetime as dt
import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, cast

import msgspec

from chappe.events import RawRecord
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain import verify as checks
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Hydration, Normalised
from chappe_ingest.domain.reading import Json, Reader, Unreadable, parse
from chappe_ingest.domain.sources import stripe_asking as asking
from chappe_ingest.domain.sources import stripe_billing as billing
from chappe_ingest.domain.sources import stripe_payments as payments
from chappe_ingest.domain.sources.facts import Happening, Meant, not_understood, object_ref, told
from chappe_ingest.domain.sources.stripe_reading import Delivery, by_reference, customer_named

VENDOR_HOSTS: Final = (
    "checkout.stripe.com",
    "buy.stripe.com",
    "invoice.stripe.com",
    "pay.stripe.com",
    "billing.stripe.com",
)
HEADERS: Final[frozenset[str]] = frozenset()
"""Everything that matters is in the signed body."""

WE_ISSUE_SECRET: Final = False
EVENTS: Final = (
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.expired",
    "payment_intent.succeeded",
    "charge.refunded",
    "customer.created",
    "customer.updated",
    "customer.deleted",
    "customer.subscription.created",
    "customer.subscription.deleted",
    "customer.subscription.trial_will_end",
    "invoice.upcoming",
    "invoice.payment_failed",
)
SETUP: Final = (
    "In the Stripe Dashboard open Developers > Webhooks and press 'Add destination'.",
    f"Choose events of your account, snapshot payloads, and select: {', '.join(EVENTS)}.",
    "Choose 'Webhook endpoint' and paste this URL: {url}",
    "Reveal the 'Signing secret', which begins with whsec_.",
    "Give it to Chappe: chappe sources set-secret {name} --secret whsec_…",
    "For a session's items: chappe sources api-token {name} --token rk_live_… (docs)",
    "A custom Checkout domain stays in your mails with: --domain CHECKOUT.example",
    "Send a test event, then look at: chappe sources status {name}",
)

TOLERANCE_SECONDS: Final = 300
_SIGNATURE_CHARS_MAX: Final = 4_000
_TIME = re.compile(r"[0-9]{1,12}")
_HEX_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_THIN_PATH = re.compile(r"/v[12]/[A-Za-z0-9_/-]{1,180}")

_Type: TypeAlias = Callable[[Delivery], Meant]
_TYPES: Final[dict[str, _Type]] = {
    "checkout.session.completed": payments.session_completed,
    "checkout.session.async_payment_succeeded": payments.session_completed,
    "checkout.session.async_payment_failed": payments.session_failed,
    "checkout.session.expired": payments.session_expired,
    "payment_intent.succeeded": payments.paid,
    "charge.refunded": payments.charge_refunded,
    "charge.refund.updated": payments.refund,
    "refund.created": payments.refund,
    "refund.updated": payments.refund,
    "refund.failed": payments.refund,
    "customer.created": billing.customer,
    "customer.updated": billing.customer,
    "customer.deleted": billing.customer,
    "customer.subscription.created": billing.subscription_created,
    "customer.subscription.updated": billing.subscription_changed,
    "customer.subscription.paused": billing.subscription_changed,
    "customer.subscription.resumed": billing.subscription_changed,
    "customer.subscription.deleted": billing.subscription_deleted,
    "customer.subscription.trial_will_end": billing.trial_will_end,
    "invoice.upcoming": billing.invoice_upcoming,
    "invoice.paid": billing.invoice_paid,
    "invoice.payment_succeeded": billing.invoice_paid,
    "invoice.payment_failed": billing.invoice_failed,
}


def normalise(raw: RawRecord, links: Links) -> Normalised:
    """The facts of one event; a type that we do not know gives none, and a warning.

    A thin event has the object's address alone, a session none of its items, a subscription of
    its customer the id: those ask for a hydration.
    """
    event, warnings = _event(raw)
    related = event.nested("related_object")
    if _is_thin(event) and related.id("id") is not None:
        return _thin(raw, event, related)
    about = event.nested("data").nested("object")
    understood = _understood(raw, event, about, links, warnings)
    if not understood.facts:
        return understood
    return dataclasses.replace(understood, hydration=asking.question(_type(event), about))


def hydrated(raw: RawRecord, document: bytes, links: Links) -> Normalised:
    """As ``normalise``, with what the API answered. Raises ``Unreadable``.

    For a snapshot it adds to the object as it was then; for a thin event it is the object.
    """
    event, warnings = _event(raw)
    answer = parse(document)
    if _is_thin(event):
        return _understood(raw, event, Reader(answer, warnings), links, warnings)
    about = asking.filled(event.nested("data").nested("object"), answer)
    return _understood(raw, event, about, links, warnings)


def _event(raw: RawRecord) -> tuple[Reader, list[str]]:
    warnings: list[str] = []
    event = Reader(parse(raw.body), warnings)
    if event.text("type") is None:
        raise Unreadable("no event of Stripe's: its type is missing")
    return event, warnings


def _is_thin(event: Reader) -> bool:
    """A v2 event may have data of its own, but never the object."""
    data = event.fields.get("data")
    return not isinstance(data, dict) or "object" not in data


def _understood(
    raw: RawRecord, event: Reader, about: Reader, links: Links, warnings: list[str]
) -> Normalised:
    kind = _type(event)
    understand = _TYPES.get(kind)
    if understand is None:
        return not_understood(f"the type {kind}", _delivery(event), warnings)
    delivery = Delivery(
        raw=raw,
        type=kind,
        event=event,
        object=about,
        links=dataclasses.replace(links, vendor=(*links.vendor, *VENDOR_HOSTS)),
    )
    return told(
        raw,
        understand(delivery),
        source_event=kind,
        test=_is_test(event, about),
        delivery=_delivery(event),
        warnings=warnings,
    )


def _thin(raw: RawRecord, event: Reader, related: Reader) -> Normalised:
    """What can be said of a thin event without asking: which object, and of whom when it is one."""
    kind = _type(event)
    if kind not in _TYPES:
        return not_understood(f"the type {kind}", _delivery(event), event.warnings)
    number, thing = related.id("id"), related.text("type") or ""
    path = related.text("url") or ""
    delivery = Delivery(raw=raw, type=kind, event=event, object=related, links=Links())
    name = _THIN_NAMES.get(kind)
    subject = None if name == "contact.updated" else number
    happenings = (Happening(name, delivery.at(), subject),) if name else ()
    named = customer_named(raw, number) if thing == "customer" else by_reference(raw, thing, number)
    meant = Meant(
        happenings=happenings,
        identifiers=ids.distinct(named),
        object=object_ref(thing or "object", number, None),
        traits={},
        data={f"{thing or 'object'}_id": number},
        hydration=Hydration(path) if _THIN_PATH.fullmatch(path) else None,
    )
    return told(
        raw,
        meant,
        source_event=kind,
        test=_is_test(event, related),
        delivery=_delivery(event),
        warnings=event.warnings,
    )


_THIN_NAMES: Final = {
    "customer.created": "contact.created",
    "customer.updated": "contact.updated",
    "customer.deleted": "contact.deleted",
    "customer.subscription.created": "subscription.created",
    "customer.subscription.deleted": "subscription.cancelled",
    "payment_intent.succeeded": "order.paid",
    "checkout.session.expired": "checkout.expired",
}
"""Those types that say everything; of the others the object must be seen first."""


def _type(event: Reader) -> str:
    """Thin events of v1 objects say ``v1.customer.created``."""
    return (event.text("type") or "")[: ids.VALUE_MAX_CHARS].removeprefix("v1.")


def _is_test(event: Reader, about: Reader) -> bool:
    return event.fields.get("livemode") is False or (
        "livemode" not in event.fields and about.fields.get("livemode") is False
    )


def _delivery(event: Reader) -> str | None:
    number = event.id("id")
    return f"event {number}" if number else None


def verify(
    body: bytes, headers: checks.Headers, secrets: Sequence[str], now: dt.datetime
) -> checks.Verdict:
    """``Stripe-Signature: t=…,v1=…``: hex HMAC-SHA256 of ``t.body`` under the whole ``whsec_…``.

    The time is of the attempt; more than 300 s from ours in either direction is refused. While a
    secret is being rolled there are several ``v1``.
    """
    given = checks.values(headers, "stripe-signature")
    if not given:
        return checks.Verdict(False, "the signature header Stripe-Signature is missing")
    if len(given) > 1:
        return checks.Verdict(False, "the signature header came more than once")
    keys = [s for s in secrets if s]
    if not keys:
        return checks.Verdict(False, "the source has no secret yet")
    stamp, candidates = _parts(given[0])
    if stamp is None or not candidates:
        return checks.Verdict(False, "the signature header is not of the form t=…,v1=…")
    signed = stamp.encode() + b"." + body
    matched = False
    for key in keys:
        digest = hmac.digest(key.encode("utf-8", "surrogatepass"), signed, hashlib.sha256)
        for candidate in candidates:
            matched |= hmac.compare_digest(candidate, digest)
    if not matched:
        return checks.Verdict(
            False, "the signature does not match: check the endpoint's signing secret"
        )
    away = int(now.timestamp()) - int(stamp)
    if abs(away) > TOLERANCE_SECONDS:
        return checks.Verdict(
            False,
            f"signed {abs(away)} s {'ago' if away > 0 else 'ahead'}, more than "
            f"{TOLERANCE_SECONDS} s: a replay, or a clock that is wrong",
        )
    return checks.VERIFIED


def _parts(header: str) -> tuple[str | None, list[bytes]]:
    stamp: str | None = None
    digests: list[bytes] = []
    for part in header[:_SIGNATURE_CHARS_MAX].split(","):
        name, _, value = part.strip().partition("=")
        if name == "t" and stamp is None and _TIME.fullmatch(value):
            stamp = value
        elif name == "v1" and len(digests) < checks.CANDIDATES_MAX and _HEX_DIGEST.fullmatch(value):
            digests.append(bytes.fromhex(value))
    return stamp, digests


class _Object(msgspec.Struct):
    id: Any = None
    customer: Any = None
    payment_intent: Any = None


class _Data(msgspec.Struct):
    object: _Object = msgspec.field(default_factory=_Object)


class _Entity(msgspec.Struct):
    data: _Data = msgspec.field(default_factory=_Data)
    related_object: _Object = msgspec.field(default_factory=_Object)


_entity = msgspec.json.Decoder(_Entity)


def entity(body: bytes, _headers: checks.Headers) -> str | None:
    """The customer, else the payment, else the object itself."""
    try:
        seen = _entity.decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    about = seen.data.object
    for each in (about.customer, about.payment_intent, about.id, seen.related_object.id):
        number: Any = cast("Json", each).get("id") if isinstance(each, dict) else each
        if isinstance(number, str) and number:
            return number[: ids.VALUE_MAX_CHARS]
    return None
