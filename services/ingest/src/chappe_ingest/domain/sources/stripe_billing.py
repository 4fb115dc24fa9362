"""Stripe's customers, subscriptions and invoices."""

from decimal import Decimal
from typing import Final

from chappe.events import Identifier
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.reading import Json, Reader, decimal_of, iso
from chappe_ingest.domain.sources.facts import (
    Happening,
    Meant,
    email_of,
    object_ref,
    phone_of,
    some,
)
from chappe_ingest.domain.sources.stripe_reading import (
    Delivery,
    amount,
    by_reference,
    customer_named,
    expanded,
    first_locale,
    major,
    metadata,
    names,
    reference,
)

_CUSTOMER: Final = {
    "customer.created": "contact.created",
    "customer.updated": "contact.updated",
    "customer.deleted": "contact.deleted",
}
_CHANGES: Final = {
    "customer.subscription.updated": "custom.subscription_updated",
    "customer.subscription.paused": "custom.subscription_paused",
    "customer.subscription.resumed": "custom.subscription_resumed",
}


def customer(delivery: Delivery) -> Meant:
    body = delivery.object
    number = body.id("id")
    name = _CUSTOMER[delivery.type]
    created = body.time("created")
    once = name != "contact.updated"
    at = delivery.at(created if name == "contact.created" else None)
    return Meant(
        happenings=(Happening(name, at, number if once else None),),
        identifiers=ids.distinct(
            customer_named(delivery.raw, number), email_of(body, "email"), phone_of(body, "phone")
        ),
        object=object_ref("customer", number, delivery.created),
        traits=names(body.text("name"))
        | some(
            country=body.nested("address").text("country"),
            locale=first_locale(body),
            created_at=iso(created) if created else None,
        ),
        data={"customer_id": number} | metadata(delivery, body),
    )


def subscription_created(delivery: Delivery) -> Meant:
    body = delivery.object
    at = delivery.at(body.time("created"))
    return _subscription(delivery, Happening("subscription.created", at, body.id("id")))


def subscription_changed(delivery: Delivery) -> Meant:
    return _subscription(delivery, Happening(_CHANGES[delivery.type], delivery.at()))


def subscription_deleted(delivery: Delivery) -> Meant:
    """It has ended, whenever that was asked for."""
    body = delivery.object
    at = delivery.at(body.time("ended_at"), body.time("canceled_at"))
    return _subscription(delivery, Happening("subscription.cancelled", at, body.id("id")))


def trial_will_end(delivery: Delivery) -> Meant:
    """Three days ahead: the first payment renews what was free."""
    body = delivery.object
    number, ends = body.id("id"), body.id("trial_end")
    subject = f"{number} trial {ends}" if number else None
    return _subscription(
        delivery, Happening("subscription.renewing", delivery.at(), subject), {"trial": True}
    )


def _subscription(delivery: Delivery, happening: Happening, more: Json | None = None) -> Meant:
    body, raw = delivery.object, delivery.raw
    number = body.id("id")
    who = expanded(body, "customer")
    return Meant(
        happenings=(happening,),
        identifiers=ids.distinct(
            customer_named(raw, reference(body, "customer")),
            email_of(who, "email"),
            phone_of(who, "phone"),
            by_reference(raw, "subscription", number),
        ),
        object=object_ref("subscription", number, delivery.created),
        traits=names(who.text("name")) | some(locale=first_locale(who)),
        data=_subscription_data(body) | (more or {}) | metadata(delivery, body),
    )


def _subscription_data(body: Reader) -> Json:
    lines = list(body.nested("items").rows("data"))
    currency = body.currency("currency") or next(
        (c for each in lines if (c := _price(each).currency("currency"))), None
    )
    first = lines[0] if lines else Reader({}, body.warnings)
    ends = body.time("current_period_end") or first.time("current_period_end")
    trial_end = body.time("trial_end")
    canceled, ended = body.time("canceled_at"), body.time("ended_at")
    return {
        "subscription_id": body.id("id"),
        "status": body.text("status"),
        "total": _total(lines, currency),
        "items": [_item(each, currency) for each in lines],
    } | some(
        current_period_end=iso(ends) if ends else None,
        trial_end=iso(trial_end) if trial_end else None,
        canceled_at=iso(canceled) if canceled else None,
        ended_at=iso(ended) if ended else None,
        cancel_at_period_end=body.flag("cancel_at_period_end"),
    )


def _price(line: Reader) -> Reader:
    """``price`` since 2020; ``plan`` before, and still beside it."""
    return line.nested("price" if isinstance(line.fields.get("price"), dict) else "plan")


def _unit(price: Reader, currency: str | None) -> Json | None:
    return amount(price, "unit_amount", currency) or amount(price, "amount", currency)


def _item(line: Reader, currency: str | None) -> Json:
    price = _price(line)
    return {
        "product_id": reference(price, "product"),
        "variant_id": price.id("id"),
        "sku": None,
        "title": price.text("nickname", "name"),
        "quantity": line.number("quantity"),
        "price": _unit(price, currency),
    } | some(interval=price.nested("recurring").text("interval") or price.text("interval"))


def _total(lines: list[Reader], currency: str | None) -> Json | None:
    """What one period costs before tax and discounts; None for prices by use or in tiers."""
    sum_of = Decimal(0)
    for each in lines:
        price = _price(each)
        given = price.fields.get("unit_amount")
        unit = decimal_of(price.fields.get("amount") if given is None else given)
        quantity = decimal_of(each.fields.get("quantity", 1))
        if unit is None or quantity is None:
            return None
        sum_of += unit * quantity
    return major(sum_of, currency) if lines else None


def invoice_upcoming(delivery: Delivery) -> Meant:
    """A few days ahead of a renewal; it has no number yet."""
    body = delivery.object
    subscription = _subscription_of(body)
    due = body.time("next_payment_attempt") or body.time("period_end")
    subject = f"{subscription} {iso(due)}" if subscription and due else None
    return _invoice(
        delivery,
        Happening("subscription.renewing", delivery.at(), subject),
        some(renews_at=iso(due) if due else None),
    )


def invoice_failed(delivery: Delivery) -> Meant:
    """Once for each attempt."""
    body = delivery.object
    number, attempt = body.id("id"), body.id("attempt_count")
    again = body.time("next_payment_attempt")
    return _invoice(
        delivery,
        Happening(
            "subscription.payment_failed", delivery.at(), f"{number} {attempt}" if number else None
        ),
        some(attempt=body.number("attempt_count"), next_attempt_at=iso(again) if again else None),
    )


def invoice_paid(delivery: Delivery) -> Meant:
    """The order is the invoice's, as for its session and its payment; nothing for nothing."""
    body = delivery.object
    number = body.id("id")
    at = delivery.at(body.nested("status_transitions").time("paid_at"))
    happening = Happening("order.paid", at, number)
    paid = amount(body, "amount_paid", body.currency("currency"))
    meant = _invoice(delivery, happening, {"order_id": number} | some(total=paid))
    if body.number("amount_paid") == 0:
        return Meant(identifiers=meant.identifiers, traits=meant.traits, data=meant.data)
    return meant


def _invoice(delivery: Delivery, happening: Happening, more: Json) -> Meant:
    body = delivery.object
    subscription = _subscription_of(body)
    currency = body.currency("currency")
    due = amount(body, "amount_due", currency) or amount(body, "total", currency)
    about = (
        ("order", str(more["order_id"]))
        if more.get("order_id")
        else ("subscription", subscription or body.id("id"))
    )
    return Meant(
        happenings=(happening,),
        identifiers=_invoice_people(delivery, subscription),
        object=object_ref(*about, None),
        traits=names(body.text("customer_name"))
        | some(country=body.nested("customer_address").text("country")),
        data={
            "invoice_id": body.id("id"),
            "number": body.text("number"),
            "subscription_id": subscription,
            "total": due,
            "items": _invoice_items(body, currency),
            "payment_url": delivery.links.take(body, "hosted_invoice_url"),
        }
        | more,
    )


def _invoice_people(delivery: Delivery, subscription: str | None) -> tuple[Identifier, ...]:
    body, raw = delivery.object, delivery.raw
    who = expanded(body, "customer")
    return ids.distinct(
        customer_named(raw, reference(body, "customer")),
        email_of(body, "customer_email") or email_of(who, "email"),
        phone_of(body, "customer_phone") or phone_of(who, "phone"),
        by_reference(raw, "subscription", subscription),
        by_reference(raw, "order", _paid_by(body)),
    )


def _subscription_of(body: Reader) -> str | None:
    """At the top until 2025-03; since then inside ``parent``."""
    details = body.nested("parent").nested("subscription_details")
    return (
        reference(body, "subscription")
        or reference(details, "subscription")
        or next(
            (
                found
                for line in body.nested("lines").rows("data")
                if (found := reference(line, "subscription") or _line_subscription(line))
            ),
            None,
        )
    )


def _line_subscription(line: Reader) -> str | None:
    return reference(line.nested("parent").nested("subscription_item_details"), "subscription")


def _paid_by(body: Reader) -> str | None:
    """Until 2025-03 an invoice named its payment intent; since then it lists its payments."""
    payments = list(body.nested("payments").rows("data"))
    listed = reference(payments[0].nested("payment"), "payment_intent") if payments else None
    return reference(body, "payment_intent") or listed


def _invoice_items(body: Reader, currency: str | None) -> list[Json]:
    return [
        {
            "product_id": reference(_price(line), "product") or reference(details, "product"),
            "variant_id": _price(line).id("id") or reference(details, "price"),
            "sku": None,
            "title": line.text("description"),
            "quantity": line.number("quantity"),
            "price": _unit(_price(line), currency) or _decimal_unit(pricing, currency),
            "total": amount(line, "amount", currency),
        }
        for line in body.nested("lines").rows("data")
        for pricing in (line.nested("pricing"),)
        for details in (pricing.nested("price_details"),)
    ]


def _decimal_unit(pricing: Reader, currency: str | None) -> Json | None:
    """Since 2025-03 a line has no price, but ``pricing``; fractions of a cent are possible."""
    unit = decimal_of(pricing.fields.get("unit_amount_decimal"))
    return None if unit is None else major(unit, currency)
