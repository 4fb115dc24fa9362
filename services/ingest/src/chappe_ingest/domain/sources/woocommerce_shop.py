"""WooCommerce's orders and customers (REST API v3).

Its times are UTC without saying so, its names hold HTML entities, its guests are customer 0, and
its refunds come inside the order that they are of.
"""

import dataclasses
import datetime as dt
import html
from collections.abc import Iterator
from typing import Final

from chappe.events import Identifier, RawRecord
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.reading import Json, Reader, decimal_of, iso
from chappe_ingest.domain.sources.facts import (
    NOTHING,
    Happening,
    Meant,
    by_object,
    customer_of,
    email_of,
    happened_at,
    money,
    object_ref,
    phone_of,
    some,
)

_DRAFTS: Final = frozenset({"checkout-draft", "auto-draft", "draft"})
_PLACED: Final = frozenset({"processing", "completed", "on-hold"})
_STAFF: Final = frozenset({"administrator", "shop_manager", "editor", "author", "contributor"})
_YES: Final = frozenset({"1", "yes", "true", "on", "subscribed"})
_NO: Final = frozenset({"unsubscribed"})

CONSENT_KEYS: Final = ("chappe_marketing_consent", "_chappe_marketing_consent")
"""Core has no field for consent: a theme or plugin writes one of these into ``meta_data``."""
LOCALE_KEYS: Final = ("wpml_language", "chappe_locale")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """``consent_keys`` and ``locale_keys``: where in ``meta_data`` this shop keeps the two."""

    raw: RawRecord
    topic: str
    body: Reader
    links: Links
    consent_keys: tuple[str, ...] = CONSENT_KEYS
    locale_keys: tuple[str, ...] = LOCALE_KEYS

    def at(self, *candidates: dt.datetime | None) -> dt.datetime:
        return happened_at(self.raw, *candidates)


def order(delivery: Delivery) -> Meant:
    body = delivery.body
    status = _status(body)
    if status in _DRAFTS:
        return NOTHING
    number = body.id("id")
    created, modified = _time(body, "created"), _time(body, "modified")
    return Meant(
        happenings=tuple(_transitions(delivery, number, status)),
        identifiers=_buyer(delivery, number),
        object=object_ref("order", number, modified),
        traits=_order_traits(delivery, delivery.at(created, modified)),
        data=_order_data(delivery, number, status),
    )


def _transitions(delivery: Delivery, number: str | None, status: str) -> Iterator[Happening]:
    """Every once-only step that the order shows; a payment shows that it was placed."""
    body = delivery.body
    created, modified = _time(body, "created"), _time(body, "modified")
    paid, completed = _time(body, "paid"), _time(body, "completed")
    if status in _PLACED or status == "refunded" or paid is not None:
        yield Happening("order.placed", delivery.at(created, modified), number)
    if paid is not None:
        yield Happening("order.paid", delivery.at(paid), number)
    if completed is not None or status == "completed":
        yield Happening("order.fulfilled", delivery.at(completed, modified), number)
    if status == "cancelled":
        yield Happening("order.cancelled", delivery.at(modified), number)
    yield from _refunds(delivery, number, status)
    if delivery.topic != "order.created" or (status not in _PLACED and paid is None):
        yield Happening("order.updated", delivery.at(modified, created))


def _refunds(delivery: Delivery, number: str | None, status: str) -> Iterator[Happening]:
    """``refunds`` holds each with an id and a negative total, but no time of its own."""
    body = delivery.body
    currency = body.currency("currency")
    at = delivery.at(_time(body, "modified"))
    refunds = list(body.rows("refunds"))
    for each in refunds:
        amount = decimal_of(each.fields.get("total"))
        yield Happening(
            "order.refunded",
            at,
            each.id("id"),
            {
                "order_id": number,
                "number": body.text("number"),
                "refund_id": each.id("id"),
                "total": money(abs(amount), currency) if amount is not None else None,
                "reason": _words(each, "reason"),
                "items": [],
            },
        )
    if status == "refunded" and not refunds:
        yield Happening("order.refunded", at, f"order {number}" if number else None)


def order_deleted(delivery: Delivery) -> Meant:
    """``{"id"}`` alone. The shop tidied up; the buyer cancelled nothing."""
    number = delivery.body.id("id")
    return Meant(
        happenings=(Happening("order.updated", delivery.at()),),
        identifiers=_buyer(delivery, number),
        object=object_ref("order", number, None),
        traits={},
        data={"order_id": number, "status": "deleted"},
    )


def _buyer(delivery: Delivery, number: str | None) -> tuple[Identifier, ...]:
    body = delivery.body
    billing = body.nested("billing")
    return ids.distinct(
        customer_of(delivery.raw, body.id("customer_id")),
        email_of(billing, "email"),
        phone_of(billing, "phone"),
        by_object(delivery.raw, "order", number),
    )


def _order_traits(delivery: Delivery, at: dt.datetime) -> Json:
    body = delivery.body
    billing, shipping = body.nested("billing"), body.nested("shipping")
    consent = _consent(delivery, at)
    return some(
        first_name=_words(billing, "first_name") or _words(shipping, "first_name"),
        last_name=_words(billing, "last_name") or _words(shipping, "last_name"),
        country=billing.text("country") or shipping.text("country"),
        locale=_locale(delivery),
        consent=consent,
    )


def _order_data(delivery: Delivery, number: str | None, status: str) -> Json:
    body = delivery.body
    currency = body.currency("currency")
    return {
        "order_id": number,
        "number": body.text("number", "id"),
        "status": status,
        "total": body.money(currency, "total"),
        "discount": body.money(currency, "discount_total"),
        "shipping": body.money(currency, "shipping_total"),
        "tax": body.money(currency, "total_tax"),
        "items": [_item(delivery, line, currency) for line in body.rows("line_items")],
        "discount_codes": [
            code for each in body.rows("coupon_lines") if (code := each.text("code")) is not None
        ],
        "payment_url": delivery.links.take(body, "payment_url"),
        "payment_method": _words(body, "payment_method_title"),
        "source_name": body.text("created_via"),
    } | some(subtotal=body.money(currency, "subtotal"))


def _item(delivery: Delivery, line: Reader, currency: str | None) -> Json:
    variation = line.id("variation_id")
    return {
        "product_id": line.id("product_id"),
        "variant_id": None if variation == "0" else variation,
        "sku": line.text("sku"),
        "title": _words(line, "name"),
        "quantity": line.number("quantity"),
        "price": line.money(currency, "price"),
        "total": line.money(currency, "total"),
        "url": delivery.links.take(line, "permalink"),
        "image_url": delivery.links.take(line.nested("image"), "src"),
    }


def customer(delivery: Delivery) -> Meant:
    """Staff accounts are made here too: they get no welcome."""
    body = delivery.body
    number = body.id("id")
    created, modified = _time(body, "created"), _time(body, "modified")
    role = (body.text("role") or "").lower()
    if delivery.topic == "customer.created" and role not in _STAFF:
        happening = Happening("contact.created", delivery.at(created, modified), number)
    else:
        happening = Happening("contact.updated", delivery.at(modified, created))
    billing = body.nested("billing")
    return Meant(
        happenings=(happening,),
        identifiers=ids.distinct(
            customer_of(delivery.raw, number),
            email_of(body, "email") or email_of(billing, "email"),
            phone_of(billing, "phone"),
        ),
        object=object_ref("customer", number, modified),
        traits=some(
            first_name=_words(body, "first_name") or _words(billing, "first_name"),
            last_name=_words(body, "last_name") or _words(billing, "last_name"),
            country=billing.text("country") or body.nested("shipping").text("country"),
            locale=_locale(delivery),
            is_paying_customer=body.flag("is_paying_customer"),
            created_at=iso(created) if created else None,
            consent=_consent(delivery, delivery.at(modified, created)),
        ),
        data={"customer_id": number, "role": role or None},
    )


def customer_deleted(delivery: Delivery) -> Meant:
    """A signal, not an erasure."""
    number = delivery.body.id("id")
    return Meant(
        happenings=(Happening("contact.deleted", delivery.at(), number),),
        identifiers=ids.distinct(customer_of(delivery.raw, number)),
        object=object_ref("customer", number, None),
        traits={},
        data={"customer_id": number},
    )


def _status(body: Reader) -> str:
    return (body.text("status") or "").lower().removeprefix("wc-")


def _time(body: Reader, what: str) -> dt.datetime | None:
    """In UTC; the site's own time, which has no zone, only where there is no other."""
    return body.time(f"date_{what}_gmt", f"date_{what}")


def _words(body: Reader, name: str) -> str | None:
    text = body.text(name)
    return html.unescape(text).strip() or None if text is not None else None


def _meta(body: Reader, keys: tuple[str, ...]) -> str | None:
    for each in body.rows("meta_data"):
        if each.fields.get("key") in keys:
            value = each.fields.get("value")
            return str(value)[: ids.VALUE_MAX_CHARS] if isinstance(value, str | int) else None
    return None


def _locale(delivery: Delivery) -> str | None:
    """WordPress writes fr_FR."""
    said = _meta(delivery.body, delivery.locale_keys)
    return said.strip().replace("_", "-") or None if said else None


def _consent(delivery: Delivery, at: dt.datetime) -> Json | None:
    said = (_meta(delivery.body, delivery.consent_keys) or "").strip().lower()
    if said in _YES:
        return {"email": {"state": "subscribed", "at": iso(at)}}
    if said in _NO:
        return {"email": {"state": "unsubscribed", "at": iso(at)}}
    return None
