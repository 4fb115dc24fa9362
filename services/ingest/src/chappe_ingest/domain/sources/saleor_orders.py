"""Saleor's orders: what their state shows, each step once."""

from collections.abc import Iterator
from typing import Final

from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.reading import Json
from chappe_ingest.domain.sources import facts
from chappe_ingest.domain.sources.facts import Happening, Meant
from chappe_ingest.domain.sources.saleor_reading import (
    Told,
    address_of,
    checkout_token,
    codes_of,
    items_of,
    money_in,
    traits_of,
    updated_at,
    version_of,
)

_CLOSED: Final = {"CANCELED", "CANCELLED", "EXPIRED"}

_PAID: Final = {"FULLY_CHARGED", "FULLY-CHARGED", "FULL", "OVERCHARGED"}


def order_news(told: Told) -> Meant:
    order, at = told.about, told.delivery.at
    number, status = told.number, (order.text("status") or "").upper().replace(" ", "_")
    user, billing = order.nested("user"), address_of(order, "billingAddress", "billing_address")
    channel = order.nested("channel")
    currency = order.currency("currency") or channel.currency("currencyCode", "currency_code")
    total = money_in(order, currency, "total", "total_gross_amount")
    checkout = checkout_token(order.id("checkoutId", "checkout_id"))
    created = order.time("created")
    named = ids.distinct(
        ids.external_id(user.id("id"), told.delivery.raw.namespace),
        facts.email_of(order, "userEmail", "user_email", "email")
        or facts.email_of(user, "email")
        or facts.email_of(told.whole, "recipient_email"),
        facts.phone_of(billing, "phone") or facts.phone_of(user, "phone"),
        ids.token(ids.CHECKOUT_TOKEN, checkout),
    )
    happenings = () if status == "DRAFT" else tuple(_transitions(told, status, total, currency))
    data: Json = {
        "order_id": number,
        "number": order.text("number"),
        "total": total,
        "subtotal": money_in(order, currency, "subtotal", "subtotal_gross_amount"),
        "discount": money_in(order, currency, "discount", "discount_amount"),
        "shipping": money_in(order, currency, "shippingPrice", "shipping_price_gross_amount"),
        "checkout_token": checkout,
        "items": items_of(told, currency),
        "discount_codes": codes_of(order),
        "status_url": told.delivery.links.take(order, "redirectUrl", "order_details_url"),
    }
    return Meant(
        happenings=happenings,
        identifiers=named or facts.itself(told.delivery.raw, "order", number),
        object=facts.object_ref("order", number, version_of(told)),
        traits=traits_of(told, user, billing, granted_at=at(created, told.issued_at)),
        data=data,
    )


def _transitions(
    told: Told, status: str, total: Json | None, currency: str | None
) -> Iterator[Happening]:
    """Every step that happens once and that the order shows; the event's own news last."""
    order, topic, at = told.about, told.topic, told.delivery.at
    number, updated = told.number, updated_at(told)
    yield Happening("order.placed", at(order.time("created"), updated), number)
    if _is_paid(told):
        yield Happening("order.paid", at(updated), number)
    if topic == "order_fulfilled" or status == "FULFILLED":
        made = [each.time("created") for each in order.rows("fulfillments")]
        made.append(told.whole.nested("fulfillment").time("created"))
        last = max((each for each in made if each is not None), default=None)
        yield Happening("order.fulfilled", at(last, updated), number)
    if topic in CANCELLATIONS or status in _CLOSED:
        yield Happening("order.cancelled", at(updated), number)
    if topic in REFUNDS:
        yield _refund(told, total, currency)
    if topic in UPDATES:
        yield Happening("order.updated", at(updated))


def _refund(told: Told, total: Json | None, currency: str | None) -> Happening:
    """Saleor names no refund: one is known by its order and by what was given back until then."""
    order, whole = told.about, told.whole
    back = whole.money(whole.currency("currency") or currency, "amount")
    back = back or money_in(order, currency, "totalRefunded", "total_refunded_amount")
    if back is None and told.topic == "order_fully_refunded":
        back = total
    if back is None:
        mark = facts.body_hash(told.delivery.raw)
    else:
        amount = str(back["amount"])
        mark = (amount.rstrip("0").rstrip(".") if "." in amount else amount) or "0"
    subject = f"{told.number} {mark}" if told.number else None
    return Happening(
        "order.refunded", told.delivery.at(updated_at(told)), subject, more={"total": back}
    )


def _is_paid(told: Told) -> bool:
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


CANCELLATIONS: Final = {"order_cancelled", "order_expired", "notify_user order_canceled"}

REFUNDS: Final = {
    "order_refunded",
    "order_fully_refunded",
    "notify_user order_refund_confirmation",
}

UPDATES: Final = {
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
