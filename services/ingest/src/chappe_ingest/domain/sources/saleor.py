"""Saleor's webhooks: our own subscription query, the older array, and NOTIFY_USER.

A subscription's payload is whatever its query asks for, so every field may be missing. Saleor
sends no delivery id: a repeat is known by its event, object, ``issuedAt`` and body.
"""

import binascii
import dataclasses
import datetime as dt
import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias, cast
from urllib.parse import quote

from chappe.events import RawRecord
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Normalised, Normaliser
from chappe_ingest.domain.reading import Json, Reader, Unreadable, iso, parse_any
from chappe_ingest.domain.sources import generic_facts as facts
from chappe_ingest.domain.sources.generic_facts import Delivery, Happening, Meant
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
    "Open https://YOUR-SALEOR-HOST/.well-known/jwks.json and save it as jwks.json.",
    'Give it to Chappe: chappe sources set-secret {name} --secret "$(cat jwks.json)"',
    "Place a test order, then look at: chappe sources status {name}",
)

_CLOSED: Final = {"CANCELED", "CANCELLED", "EXPIRED"}
_PAID: Final = {"FULLY_CHARGED", "FULLY-CHARGED", "FULL", "OVERCHARGED"}
_CONSENT_KEYS: Final = (
    "consent.email",
    "email_consent",
    "marketing_consent",
    "accepts_marketing",
    "newsletter",
)
_CONSENT_STATES: Final = {
    "subscribed": "subscribed",
    "unsubscribed": "unsubscribed",
    "pending": "pending",
    "true": "subscribed",
    "yes": "subscribed",
    "1": "subscribed",
}
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
    seen = facts.inside(seen, 0) or facts.inside(seen, "payload") or seen
    nested = [facts.inside(seen, name) for name in ("order", "checkout", "user", "customer")]
    for about in (facts.inside(seen, "fulfillment", "order"), *nested, seen):
        names = ("checkoutId", "token", "id")
        found = facts.first_id(*(facts.inside(about, name) for name in names))
        if found is not None:
            return _local_id(found)
    return None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Saleor:
    """``about`` is the order, checkout or user; ``issued_at`` when Saleor made the payload."""

    delivery: Delivery
    topic: str
    about: Reader
    whole: Reader
    issued_at: dt.datetime | None
    recovery_url: str | None

    @property
    def number(self) -> str | None:
        return self.about.id("id")


_Understand: TypeAlias = Callable[[_Saleor], Meant]


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
    told = _Saleor(
        delivery=delivery,
        topic=topic,
        about=about,
        whole=whole,
        issued_at=issued_at,
        recovery_url=recovery_url,
    )
    return facts.normalised(delivery, (family(told),), key)


def _unwrapped(raw: RawRecord, warnings: list[str]) -> tuple[Reader, Reader]:
    """The payload and its ``meta``: an object, the older array of one, or a dry run's wrapping."""
    document = parse_any(raw.body)
    if isinstance(document, list):
        rows = cast("list[Any]", document)
        document = rows[0] if rows else None
    if not isinstance(document, dict):
        raise Unreadable("neither a subscription's payload nor an array with one object")
    whole = Reader(cast("Json", document), warnings)
    for wrapping in ("data", "event"):
        if isinstance(whole.fields.get(wrapping), dict):
            whole = whole.nested(wrapping)
    return whole, whole.nested("meta")


def _topic(raw: RawRecord, whole: Reader) -> str:
    """Lower case with underscores: from the header, else from the payload's GraphQL type."""
    stated = raw.headers.get("saleor-event") or raw.headers.get("x-saleor-event")
    return (stated or _WORDS.sub("_", whole.text("__typename") or "")).strip().lower()


def _about(whole: Reader, topic: str) -> Reader:
    """The object of the event: under its name, within its fulfilment, or the payload itself."""
    family = _KNOWN.get(topic, "")
    if family == "order" and "fulfillment" in whole.fields and "order" not in whole.fields:
        return whole.nested("fulfillment").nested("order")
    for name in _UNDER.get(family, ()):
        if isinstance(whole.fields.get(name), dict):
            return whole.nested(name)
    return whole


def _order(told: _Saleor) -> Meant:
    order, at = told.about, told.delivery.at
    number, status = told.number, (order.text("status") or "").upper().replace(" ", "_")
    user, billing = order.nested("user"), _address(order, "billingAddress", "billing_address")
    channel = order.nested("channel")
    currency = order.currency("currency") or channel.currency("currencyCode", "currency_code")
    total = _money(order, currency, "total", "total_gross_amount")
    checkout = _checkout_token(order.id("checkoutId", "checkout_id"))
    created = order.time("created")
    named = ids.distinct(
        ids.external_id(user.id("id"), told.delivery.raw.namespace),
        facts.email(order, "userEmail", "user_email", "email")
        or facts.email(user, "email")
        or facts.email(told.whole, "recipient_email"),
        facts.phone(billing, "phone") or facts.phone(user, "phone"),
        ids.token(ids.CHECKOUT_TOKEN, checkout),
    )
    happenings = () if status == "DRAFT" else tuple(_transitions(told, status, total, currency))
    data: Json = {
        "order_id": number,
        "number": order.text("number"),
        "total": total,
        "subtotal": _money(order, currency, "subtotal", "subtotal_gross_amount"),
        "checkout_token": checkout,
        "items": _items(told, currency),
        "discount_codes": _codes(order),
        "status_url": told.delivery.links.take(order, "redirectUrl", "order_details_url"),
    }
    return Meant(
        happenings=happenings,
        identifiers=named or facts.itself(told.delivery.raw, "order", number),
        object=facts.ref("order", number, _version(told)),
        traits=_traits(told, user, billing, granted_at=at(created, told.issued_at)),
        data=data,
    )


def _transitions(
    told: _Saleor, status: str, total: Json | None, currency: str | None
) -> Iterator[Happening]:
    """Every step that happens once and that the order shows; the event's own news last."""
    order, topic, at = told.about, told.topic, told.delivery.at
    number, updated = told.number, _updated(told)
    yield Happening("order.placed", at(order.time("created"), updated), number)
    if _is_paid(told):
        yield Happening("order.paid", at(updated), number)
    if topic == "order_fulfilled" or status == "FULFILLED":
        made = [each.time("created") for each in order.rows("fulfillments")]
        made.append(told.whole.nested("fulfillment").time("created"))
        last = max((each for each in made if each is not None), default=None)
        yield Happening("order.fulfilled", at(last, updated), number)
    if topic in _CANCELLATIONS or status in _CLOSED:
        yield Happening("order.cancelled", at(updated), number)
    if topic in _REFUNDS:
        yield _refund(told, total, currency)
    if topic in _UPDATES:
        yield Happening("order.updated", at(updated))


def _refund(told: _Saleor, total: Json | None, currency: str | None) -> Happening:
    """Saleor names no refund: one is known by its order and by what was given back until then."""
    order, whole = told.about, told.whole
    back = whole.money(whole.currency("currency") or currency, "amount")
    back = back or _money(order, currency, "totalRefunded", "total_refunded_amount")
    if back is None and told.topic == "order_fully_refunded":
        back = total
    if back is None:
        mark = facts.body_hash(told.delivery.raw)
    else:
        amount = str(back["amount"])
        mark = (amount.rstrip("0").rstrip(".") if "." in amount else amount) or "0"
    subject = f"{told.number} {mark}" if told.number else None
    return Happening("order.refunded", told.delivery.at(_updated(told)), subject, {"total": back})


def _is_paid(told: _Saleor) -> bool:
    """Saleor's ORDER_PAID may be a part of the price; it counts unless the order says so."""
    order, topic = told.about, told.topic
    said = order.flag("isPaid")
    states = {
        (order.text(name) or "").upper()
        for name in ("paymentStatus", "payment_status", "chargeStatus", "charge_status")
    }
    if said is True or states & _PAID:
        return True
    if topic == "order_paid":
        return said is None and states == {""}
    return topic in {"order_fully_paid", "notify_user order_payment_confirmation"}


def _checkout(told: _Saleor) -> Meant:
    checkout, at = told.about, told.delivery.at
    token = _checkout_token(checkout.id("token", "id"))
    user, billing = checkout.nested("user"), _address(checkout, "billingAddress", "billing_address")
    channel = checkout.nested("channel")
    currency = checkout.currency("currency") or channel.currency("currencyCode", "currency_code")
    created = checkout.time("created", "created_at", "createdAt")
    if told.topic == "checkout_created":
        happening = Happening("checkout.started", at(created, told.issued_at), token)
    else:
        happening = Happening("checkout.updated", at(_updated(told), created))
    recovery = told.recovery_url and token and told.recovery_url.replace("{token}", quote(token))
    return Meant(
        happenings=(happening,),
        identifiers=ids.distinct(
            ids.external_id(user.id("id"), told.delivery.raw.namespace),
            facts.email(checkout, "email", "userEmail") or facts.email(user, "email"),
            facts.phone(billing, "phone"),
            ids.token(ids.CHECKOUT_TOKEN, token),
        ),
        object=facts.ref("checkout", token, _version(told)),
        traits=_traits(told, user, billing, granted_at=at(created, told.issued_at)),
        data={
            "checkout_token": token,
            "total": _money(checkout, currency, "totalPrice", "total_gross_amount", "total"),
            "subtotal": _money(checkout, currency, "subtotalPrice", "subtotal_gross_amount"),
            "items": _items(told, currency),
            "discount_codes": _codes(checkout),
            "recovery_url": recovery or None,
        },
    )


def _customer(told: _Saleor) -> Meant:
    user, at = told.about, told.delivery.at
    number = told.number
    billing = _address(user, "defaultBillingAddress", "default_billing_address")
    created = user.time("dateJoined", "date_joined")
    if user.flag("isStaff") or user.flag("is_staff"):
        told.delivery.note("a staff account, left out")
        return Meant(happenings=())
    name = {"created": "contact.created", "deleted": "contact.deleted"}.get(_CUSTOMER[told.topic])
    if name == "contact.created":
        happening = Happening(name, at(created, told.issued_at), number)
    elif name == "contact.deleted":
        happening = Happening(name, at(told.issued_at), number)
    else:
        happening = Happening("contact.updated", at(_updated(told)))
    return Meant(
        happenings=(happening,),
        identifiers=ids.distinct(
            ids.external_id(number, told.delivery.raw.namespace),
            facts.email(user, "email") or facts.email(told.whole, "recipient_email"),
            facts.phone(billing, "phone"),
        ),
        object=facts.ref("customer", number, _version(told)),
        traits=_traits(told, user, billing, granted_at=None),
        data={"customer_id": number},
    )


_FAMILIES: Final[dict[str, _Understand]] = {
    "order": _order,
    "checkout": _checkout,
    "customer": _customer,
}
_UNDER: Final = {
    "order": ("order",),
    "checkout": ("checkout",),
    "customer": ("user", "customer"),
}
_CANCELLATIONS: Final = {"order_cancelled", "order_expired", "notify_user order_canceled"}
_REFUNDS: Final = {
    "order_refunded",
    "order_fully_refunded",
    "notify_user order_refund_confirmation",
}
_UPDATES: Final = {
    "order_updated",
    "order_confirmed",
    "order_metadata_updated",
    "fulfillment_created",
    "fulfillment_approved",
    "fulfillment_canceled",
    "fulfillment_metadata_updated",
    "fulfillment_tracking_number_updated",
    "notify_user order_confirmed",
    "notify_user order_fulfillment_confirmation",
    "notify_user order_fulfillment_update",
}
_CUSTOMER: Final = {
    "customer_created": "created",
    "account_confirmation_requested": "created",
    "notify_user account_confirmation": "created",
    "customer_updated": "updated",
    "customer_metadata_updated": "updated",
    "account_confirmed": "updated",
    "account_email_changed": "updated",
    "notify_user account_change_email_confirm": "updated",
    "customer_deleted": "deleted",
    "account_deleted": "deleted",
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
            *_CANCELLATIONS,
            *_REFUNDS,
            *_UPDATES,
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
    **dict.fromkeys(_CUSTOMER, "customer"),
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


def _updated(told: _Saleor) -> dt.datetime | None:
    return told.about.time("updatedAt", "updated_at", "lastChange", "last_change") or told.issued_at


def _version(told: _Saleor) -> dt.datetime | None:
    return told.issued_at or _updated(told)


def _money(body: Reader, currency: str | None, *names: str) -> Json | None:
    """``{gross: {amount, currency}}`` or ``{amount, currency}`` as GraphQL says, or bare."""
    for name in names:
        value = body.fields.get(name)
        if isinstance(value, dict):
            taxed = body.nested(name)
            price = taxed.nested("gross") if "gross" in taxed.fields else taxed
            found = price.money(price.currency("currency") or currency, "amount")
        else:
            found = body.money(currency, name)
        if found is not None:
            return found
    return None


def _items(told: _Saleor, currency: str | None) -> list[Json]:
    return [_item(told, line, currency) for line in told.about.rows("lines")]


def _item(told: _Saleor, line: Reader, currency: str | None) -> Json:
    variant = line.nested("variant")
    product = variant.nested("product") if "product" in variant.fields else line.nested("product")
    currency = line.currency("currency") or currency
    unit = ("unitPrice", "unit_price_gross_amount", "undiscountedUnitPrice", "base_price")
    image = line.nested("thumbnail")
    if not image.fields:
        image = product.nested("thumbnail")
    return {
        "product_id": line.id("productId", "product_id") or product.id("id"),
        "variant_id": line.id("variantId", "variant_id") or variant.id("id"),
        "sku": line.text("productSku", "product_sku", "sku") or variant.text("sku"),
        "title": line.text("productName", "product_name") or product.text("name"),
        "variant_title": line.text("variantName", "variant_name") or variant.text("name"),
        "quantity": line.number("quantity"),
        "price": _money(line, currency, *unit),
        "image_url": told.delivery.links.take(image, "url"),
    }


def _codes(body: Reader) -> list[str]:
    code = body.text("voucherCode", "voucher_code")
    return [] if code is None else [code]


def _address(body: Reader, *names: str) -> Reader:
    name = next((n for n in names if isinstance(body.fields.get(n), dict)), names[0])
    return body.nested(name)


def _traits(
    told: _Saleor, user: Reader, billing: Reader, *, granted_at: dt.datetime | None
) -> Json:
    about, traits = told.about, dict[str, Any]()
    for who in (user, billing, _address(about, "shippingAddress", "shipping_address")):
        names = {
            "first_name": who.text("firstName", "first_name"),
            "last_name": who.text("lastName", "last_name"),
        }
        if any(names.values()):
            traits |= facts.present(names)
            break
    country = billing.fields.get("country")
    if isinstance(country, dict):
        code = billing.nested("country").text("code")
    else:
        code = billing.text("country")
    language = about.text("languageCodeEnum", "languageCode", "language_code") or user.text(
        "languageCode", "language_code"
    )
    return traits | facts.present(
        {
            "country": code.upper() if code and len(code) == len("FR") else None,
            "locale": _locale(language),
            "consent": _consent(about, granted_at) or _consent(user, granted_at),
        }
    )


def _consent(body: Reader, granted_at: dt.datetime | None) -> Json | None:
    """Saleor knows no consent; by convention it stands in the public metadata.

    "true" was given with the order or checkout; a plain no says nothing.
    """
    said = _metadata(body)
    key = next((name for name in _CONSENT_KEYS if name in said), None)
    state = _CONSENT_STATES.get(str(said.get(key or "", "")).strip().lower())
    if key is None or state is None:
        return None
    at = Reader(said, body.warnings, "metadata.").time(f"{key}_at") or granted_at
    return {"email": {"state": state} | ({"at": iso(at)} if at else {})}


def _metadata(body: Reader) -> Json:
    given = body.fields.get("metadata")
    if isinstance(given, list):
        rows = [(row.text("key"), row.text("value")) for row in body.rows("metadata")]
        return {key.lower(): value for key, value in rows if key is not None}
    return {str(key).lower(): value for key, value in body.nested("metadata").fields.items()}


def _locale(code: str | None) -> str | None:
    """``EN_US`` as GraphQL's enumeration writes it becomes ``en-US``."""
    if code is None:
        return None
    language, *rest = code.replace("_", "-").split("-")
    tail = [each.title() if len(each) == len("Hans") else each.upper() for each in rest]
    return "-".join([language.lower(), *tail])[: ids.VALUE_MAX_CHARS]


def _checkout_token(value: str | None) -> str | None:
    """The same for GraphQL's ``token``, its ``id`` and an order's ``checkoutId``."""
    return _local_id(value, "Checkout")


def _local_id(value: str | None, kind: str | None = None) -> str | None:
    """What a global id names: ``base64("Checkout:…")``; anything else stays as it is."""
    if value is None:
        return None
    try:
        name, colon, local = b64decode(value, validate=True).decode("ascii").partition(":")
    except (binascii.Error, ValueError):
        return value
    if not colon or not name.isalnum() or (kind is not None and name != kind):
        return value
    return local or value


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
