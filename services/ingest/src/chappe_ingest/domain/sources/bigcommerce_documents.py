"""What BigCommerce's API answers about a notice: carts (v3), orders (v2), customers, subscribers.

Of an order v2 says dates as RFC 2822 and amounts as text; of a cart v3 says numbers.
"""

import datetime as dt
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Final

from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.reading import Json, Reader, decimal_of
from chappe_ingest.domain.sources.bigcommerce_notices import (
    Notice,
    cart_keys,
    cart_of,
    customer_news,
    customer_number,
    order_key,
    order_of,
    subscriber_consent,
    subscriber_key,
    transitions,
)
from chappe_ingest.domain.sources.facts import (
    Happening,
    Meant,
    customer_of,
    email_of,
    happened_at,
    money,
    object_ref,
    phone_of,
    some,
)

_CART_NAMES: Final = {"cart/abandoned": "checkout.expired"}
_CAPTURED: Final = frozenset({"captured", "partially refunded", "refunded", "paid"})


def cart(notice: Notice, body: Reader) -> Meant:
    """A cart, or for ``cart/converted`` the order that it became."""
    if notice.scope == "cart/converted":
        return order(notice, body)
    number = cart_of(notice) or body.id("id")
    currency = body.nested("currency").currency("code")
    name = _CART_NAMES.get(notice.scope, "cart.updated")
    urls = body.nested("redirect_urls")
    updated = body.time("updated_time") or notice.sent_at
    return Meant(
        happenings=(Happening(name, notice.sent_at, number if name != "cart.updated" else None),),
        identifiers=ids.distinct(
            customer_of(notice.raw, body.id("customer_id")),
            email_of(body, "email"),
            *cart_keys(number),
        ),
        object=object_ref("cart", number, updated),
        traits=some(locale=body.text("locale")),
        data={
            "cart_token": number,
            "checkout_token": number,
            "total": body.money(currency, "cart_amount"),
            "subtotal": body.money(currency, "base_amount"),
            "discount": body.money(currency, "discount_amount"),
            "items": list(_cart_items(notice, body.nested("line_items"), currency)),
            "discount_codes": [
                code for each in body.rows("coupons") if (code := each.text("code")) is not None
            ],
            "recovery_url": notice.links.take(urls, "checkout_url", "cart_url"),
        },
    )


def _cart_items(notice: Notice, lines: Reader, currency: str | None) -> Iterator[Json]:
    for kind in ("physical_items", "digital_items", "custom_items", "gift_certificates"):
        for line in lines.rows(kind):
            yield {
                "product_id": line.id("product_id"),
                "variant_id": line.id("variant_id"),
                "sku": line.text("sku"),
                "title": line.text("name"),
                "quantity": line.number("quantity") if "quantity" in line.fields else 1,
                "price": line.money(currency, "sale_price", "list_price", "amount"),
                "url": notice.links.take(line, "url"),
                "image_url": notice.links.take(line, "image_url"),
            }


def order(notice: Notice, body: Reader) -> Meant:
    """Placed only when its status says so. A converted cart was placed by its buyer."""
    number = order_of(notice) or body.id("id")
    created, modified = _date(body, "date_created"), _date(body, "date_modified")
    placed_at = happened_at(notice.raw, created, notice.sent_at)
    status = notice.about.nested("status").id("new_status_id") or body.id("status_id")
    at = happened_at(notice.raw, modified, notice.sent_at)
    happenings = list(transitions(notice, number, status, at=at, placed_at=placed_at))
    if notice.scope == "cart/converted" and all(h.name != "order.placed" for h in happenings):
        happenings.insert(0, Happening("order.placed", placed_at, number))
    if (body.text("payment_status") or "").lower() in _CAPTURED:
        happenings.insert(1, Happening("order.paid", at, number))
    billing = body.nested("billing_address")
    cart = body.id("cart_id") or (cart_of(notice) if notice.scope.startswith("cart/") else None)
    return Meant(
        happenings=tuple(happenings),
        identifiers=ids.distinct(
            customer_of(notice.raw, body.id("customer_id")),
            email_of(billing, "email"),
            phone_of(billing, "phone"),
            *cart_keys(cart),
            order_key(notice, number),
        ),
        object=object_ref("order", number, modified or notice.sent_at),
        traits=some(
            first_name=billing.text("first_name"),
            last_name=billing.text("last_name"),
            country=billing.text("country_iso2"),
            locale=body.text("customer_locale"),
        ),
        data=_order_data(notice, body, number) | {"cart_token": cart, "checkout_token": cart},
    )


def _order_data(notice: Notice, body: Reader, number: str | None) -> Json:
    currency = body.currency("currency_code", "default_currency_code")
    return {
        "order_id": number,
        "number": number,
        "status": body.text("status"),
        "status_id": body.id("status_id"),
        "total": body.money(currency, "total_inc_tax"),
        "subtotal": body.money(currency, "subtotal_inc_tax"),
        "discount": body.money(currency, "discount_amount", "coupon_discount"),
        "shipping": body.money(currency, "shipping_cost_inc_tax"),
        "tax": body.money(currency, "total_tax"),
        "items": list(_order_items(notice, body, currency)),
        "payment_status": body.text("payment_status"),
        "source_name": body.text("order_source"),
    } | some(shipment_id=notice.about.id("id") if notice.scope.startswith("shipment/") else None)


def _order_items(notice: Notice, body: Reader, currency: str | None) -> Iterator[Json]:
    for line in _order_lines(body):
        yield {
            "product_id": line.id("product_id"),
            "variant_id": line.id("variant_id"),
            "sku": line.text("sku"),
            "title": line.text("name"),
            "quantity": line.number("quantity"),
            "price": line.money(currency, "price_inc_tax", "base_price"),
            "total": line.money(currency, "total_inc_tax"),
            "url": notice.links.take(line, "url"),
            "image_url": notice.links.take(line, "image_url"),
        }


def _order_lines(body: Reader) -> Iterator[Reader]:
    """In consignments when these were asked for; ``products`` is a link unless it was filled."""
    if isinstance(body.fields.get("products"), list):
        yield from body.rows("products")
        return
    given = body.fields.get("consignments")
    first = Reader({"all": given if isinstance(given, list) else [given]}, body.warnings)
    for consignment in first.rows("all"):
        for kind in ("shipping", "downloads", "pickups", "email"):
            places = consignment.fields.get(kind)
            if not isinstance(places, list):
                continue
            for place in consignment.rows(kind):
                yield from place.rows("line_items")


def refund(notice: Notice, body: Reader) -> Meant:
    number = order_of(notice) or body.id("order_id")
    refund_id = notice.about.nested("refund").id("refund_id", "id") or body.id("id")
    amount = decimal_of(body.fields.get("total_amount"))
    data: Json = {
        "order_id": number,
        "refund_id": refund_id,
        "total": money(amount, body.currency("currency_code")) if amount is not None else None,
        "reason": body.text("reason"),
        "items": [],
    }
    at = happened_at(notice.raw, body.time("created"), notice.sent_at)
    return Meant(
        happenings=(Happening("order.refunded", at, refund_id, data),),
        identifiers=ids.distinct(order_key(notice, number)),
        object=object_ref("order", number, None),
        traits={},
        data=data,
    )


def customer(notice: Notice, body: Reader) -> Meant:
    number = customer_number(notice) or body.id("id")
    return Meant(
        happenings=(customer_news(notice, number),),
        identifiers=ids.distinct(
            customer_of(notice.raw, number), email_of(body, "email"), phone_of(body, "phone")
        ),
        object=object_ref("customer", number, body.time("date_modified") or notice.sent_at),
        traits=some(
            first_name=body.text("first_name"),
            last_name=body.text("last_name"),
        ),
        data={"customer_id": number},
    )


def subscriber(notice: Notice, body: Reader) -> Meant:
    number = notice.about.id("id") or body.id("id")
    return Meant(
        happenings=(Happening("contact.consent_changed", notice.sent_at),),
        identifiers=ids.distinct(email_of(body, "email"), subscriber_key(notice, number)),
        object=object_ref("subscriber", number, body.time("date_modified") or notice.sent_at),
        traits=some(first_name=body.text("first_name"), last_name=body.text("last_name"))
        | subscriber_consent(notice),
        data={"subscriber_id": number} | some(signup_source=body.text("source")),
    )


def _date(body: Reader, name: str) -> dt.datetime | None:
    """RFC 2822, as v2 writes it, or ISO 8601."""
    text = body.text(name)
    if text is None:
        return None
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return body.time(name)
    try:
        return at.replace(tzinfo=dt.UTC) if at.tzinfo is None else at.astimezone(dt.UTC)
    except OverflowError:
        return None
