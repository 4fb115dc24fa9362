"""Shopware's business events: orders, customers and the newsletter."""

import datetime as dt
from collections.abc import Iterator
from typing import Final

from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.reading import Reader, iso
from chappe_ingest.domain.sources import facts
from chappe_ingest.domain.sources.facts import Happening, Meant
from chappe_ingest.domain.sources.shopware_reading import (
    WRITTEN,
    Told,
    billing_of,
    codes_of,
    items_of,
    state_of,
    traits_of,
)


def order_news(told: Told) -> Iterator[Meant]:
    yield order_meant(told, told.payload.nested("order"))


def order_meant(told: Told, order: Reader) -> Meant:
    at = told.delivery.at
    buyer = order.nested("orderCustomer")
    billing = billing_of(order)
    number, updated = order.id("id"), order.time("updatedAt")
    currency = order.nested("currency").currency("isoCode", "shortName")
    placed = at(order.time("orderDateTime", "createdAt", "orderDate"), told.sent_at)
    price = order.nested("price")
    named = ids.distinct(
        ids.external_id(buyer.id("customerId"), told.delivery.raw.namespace),
        facts.email_of(buyer, "email"),
        facts.phone_of(billing, "phoneNumber"),
    )
    return Meant(
        happenings=tuple(_transitions(told, order, number, placed)),
        identifiers=named or facts.itself(told.delivery.raw, "order", number),
        object=facts.object_ref("order", number, told.version(updated)),
        traits=traits_of(buyer, billing, order.nested("language")),
        data={
            "order_id": number,
            "number": order.text("orderNumber"),
            "total": order.money(currency, "amountTotal") or price.money(currency, "totalPrice"),
            "subtotal": price.money(currency, "positionPrice"),
            "items": list(items_of(told, order, currency)),
            "discount_codes": list(codes_of(order)),
        }
        | facts.some(shipping=order.money(currency, "shippingTotal"), status=state_of(order)),
    )


def _transitions(
    told: Told, order: Reader, number: str | None, placed: dt.datetime
) -> Iterator[Happening]:
    """Every step that happens once and that the order shows; the event's own news last."""
    event, at = told.event, told.delivery.at
    changed = at(told.sent_at, order.time("updatedAt"))
    yield Happening("order.placed", placed, number)
    states = {state_of(each) for each in order.rows("transactions")}
    if event == "state_enter.order_transaction.state.paid" or "paid" in states:
        yield Happening("order.paid", changed, number)
    shipped = {state_of(each) for each in order.rows("deliveries")} - {None}
    if event == "state_enter.order_delivery.state.shipped" or shipped == {"shipped"}:
        yield Happening("order.fulfilled", changed, number)
    if event == "state_enter.order.state.cancelled" or state_of(order) == "cancelled":
        yield Happening("order.cancelled", changed, number)
    refunded = event.removeprefix("state_enter.order_transaction.state.")
    if refunded in {"refunded", "refunded_partially"}:
        yield _refund(told, number, changed, whole=refunded == "refunded")
    if event in _UPDATES or event in WRITTEN:
        yield Happening("order.updated", changed)


def _refund(told: Told, number: str | None, at: dt.datetime, *, whole: bool) -> Happening:
    """Shopware says that money went back; how much only when all of it did."""
    if whole:
        return Happening("order.refunded", at, number and f"{number} all")
    mark = facts.body_hash(told.delivery.raw)
    return Happening("order.refunded", at, number and f"{number} {mark}", more={"total": None})


def customer_news(told: Told) -> Iterator[Meant]:
    yield customer_meant(told, told.payload.nested("customer"))


def customer_meant(told: Told, customer: Reader) -> Meant:
    at = told.delivery.at
    number = customer.id("id")
    created, updated = customer.time("createdAt"), customer.time("updatedAt")
    name = CUSTOMERS.get(told.event, "contact.updated")
    if name == "contact.created" and customer.flag("guest") is True:
        name = "contact.updated"
    times = (created, told.sent_at) if name == "contact.created" else (told.sent_at, updated)
    billing = customer.nested("defaultBillingAddress")
    return Meant(
        happenings=(Happening(name, at(*times), None if name == "contact.updated" else number),),
        identifiers=ids.distinct(
            ids.external_id(number, told.delivery.raw.namespace),
            facts.email_of(customer, "email"),
            facts.phone_of(billing, "phoneNumber"),
        ),
        object=facts.object_ref("customer", number, told.version(updated)),
        traits=traits_of(customer, billing, customer.nested("language")),
        data={"customer_id": number, "customer_number": customer.text("customerNumber")},
    )


def newsletter_news(told: Told) -> Iterator[Meant]:
    """Registering asks for a confirmation, unless the shop takes people at their word."""
    recipient, at = told.payload.nested("newsletterRecipient"), told.delivery.at
    state = NEWSLETTER[told.event]
    if state == "pending" and recipient.text("status") in {"direct", "optIn"}:
        state = "subscribed"
    when = at(
        recipient.time("confirmedAt") if state == "subscribed" else None,
        recipient.time("updatedAt"),
        told.sent_at,
        recipient.time("createdAt"),
    )
    traits = traits_of(recipient, Reader({}, recipient.warnings), recipient.nested("language"))
    yield Meant(
        happenings=(Happening("contact.consent_changed", when),),
        identifiers=ids.distinct(facts.email_of(recipient, "email")),
        traits=traits | {"consent": {"email": {"state": state, "at": iso(when)}}},
        data={},
    )


CUSTOMERS: Final = {
    "checkout.customer.register": "contact.created",
    "customer.register": "contact.created",
    "checkout.customer.guest_register": "contact.updated",
    "checkout.customer.double_opt_in_registration": "contact.updated",
    "checkout.customer.double_opt_in_guest_order": "contact.updated",
    "checkout.customer.changed-payment-method": "contact.updated",
    "checkout.customer.login": "contact.updated",
    "checkout.customer.deleted": "contact.deleted",
}

NEWSLETTER: Final = {
    "newsletter.register": "pending",
    "newsletter.confirm": "subscribed",
    "newsletter.unsubscribe": "unsubscribed",
}

_UPDATES: Final = frozenset(
    f"state_enter.{machine}.state.{state}"
    for machine, states in (
        ("order", ("open", "in_progress", "completed")),
        ("order_delivery", ("open", "cancelled", "returned", "returned_partially")),
        ("order_delivery", ("shipped_partially",)),
        ("order_transaction", ("open", "authorized", "in_progress", "paid_partially", "failed")),
        ("order_transaction", ("cancelled", "reminded", "chargeback", "unconfirmed")),
    )
    for state in states
)
