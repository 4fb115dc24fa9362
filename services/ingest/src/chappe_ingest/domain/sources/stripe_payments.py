"""Stripe's checkout sessions, payments and refunds."""

import datetime as dt
from collections.abc import Iterator
from typing import Final

from chappe.events import Identifier
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.reading import Json, Reader, iso
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
    major,
    metadata,
    person,
    reference,
)

_SETTLED: Final = frozenset({"paid", "no_payment_required"})
_CONSENT: Final = {"opt_in": "subscribed", "opt_out": "unsubscribed"}
_REFUND_DID_NOT_HAPPEN: Final = frozenset({"failed", "canceled", "requires_action"})
_REFUNDS_APART_SINCE: Final = "2022-11-15"
"""Since then ``charge.refunded`` does not list its refunds."""


def session_completed(delivery: Delivery) -> Meant:
    """Placed once it is paid; until then the checkout is over, and its payment under way."""
    body = delivery.object
    if body.text("mode") == "setup":
        return _session(delivery, (Happening("contact.updated", delivery.at()),))
    number = _order_number(body)
    if body.text("payment_status") not in _SETTLED:
        return _session(delivery, (Happening("checkout.updated", delivery.at()),), completed=True)
    happenings = [Happening("order.placed", delivery.at(), number)]
    subscription = reference(body, "subscription")
    if subscription is not None:
        about = object_ref("subscription", subscription, delivery.created)
        happenings.append(
            Happening("subscription.created", delivery.at(), subscription, object=about)
        )
    return _session(delivery, tuple(happenings), order=number, completed=True)


def session_failed(delivery: Delivery) -> Meant:
    """A payment that takes days was refused in the end: the checkout is open again."""
    return _session(delivery, (Happening("checkout.updated", delivery.at()),))


def session_expired(delivery: Delivery) -> Meant:
    number = delivery.object.id("id")
    return _session(delivery, (Happening("checkout.expired", delivery.at(), number),))


def _order_number(body: Reader) -> str | None:
    return reference(body, "payment_intent") or reference(body, "invoice") or body.id("id")


def _session(
    delivery: Delivery,
    happenings: tuple[Happening, ...],
    *,
    order: str | None = None,
    completed: bool = False,
) -> Meant:
    body = delivery.object
    data = _session_data(delivery, order)
    if completed:
        data["completed"] = True
    about = ("order", order) if order else ("checkout", body.id("id"))
    return Meant(
        happenings=happenings,
        identifiers=_session_people(delivery),
        object=object_ref(*about, delivery.created),
        traits=_session_traits(delivery),
        data=data,
    )


def _session_data(delivery: Delivery, order: str | None) -> Json:
    body = delivery.object
    currency = body.currency("currency")
    totals = body.nested("total_details")
    recovery = body.nested("after_expiration").nested("recovery")
    return (
        {
            "checkout_token": body.id("id"),
            "total": amount(body, "amount_total", currency),
            "subtotal": amount(body, "amount_subtotal", currency),
            "items": _session_items(body, currency),
            "recovery_url": delivery.links.take(recovery, "url"),
        }
        | some(
            order_id=order,
            discount=amount(totals, "amount_discount", currency),
            discount_codes=_codes(body) or None,
            shipping=amount(totals, "amount_shipping", currency),
            tax=amount(totals, "amount_tax", currency),
            client_reference_id=body.id("client_reference_id"),
            subscription_id=reference(body, "subscription"),
            payment_status=body.text("payment_status"),
            mode=body.text("mode"),
        )
        | metadata(delivery, body)
    )


def _codes(body: Reader) -> list[str]:
    """Known only where the promotion code was expanded: else Stripe says its id."""
    codes = (expanded(each, "promotion_code").text("code") for each in body.rows("discounts"))
    return [code for code in codes if code is not None]


def _session_items(body: Reader, currency: str | None) -> list[Json]:
    """Only there when somebody expanded them."""
    return [
        {
            "product_id": reference(price, "product"),
            "variant_id": price.id("id"),
            "sku": None,
            "title": line.text("description"),
            "quantity": line.number("quantity"),
            "price": amount(price, "unit_amount", currency),
            "total": amount(line, "amount_total", currency),
        }
        for line in expanded(body, "line_items").rows("data")
        for price in (line.nested("price"),)
    ]


def _session_people(delivery: Delivery) -> tuple[Identifier, ...]:
    """``client_reference_id`` names a person or a cart, as the merchant likes.

    So it is taken as a name only where it can part nobody from their address.
    """
    body, raw = delivery.object, delivery.raw
    details, customer = body.nested("customer_details"), expanded(body, "customer")
    number = reference(body, "customer")
    email = (
        email_of(details, "email")
        or email_of(body, "customer_email")
        or email_of(customer, "email")
    )
    own = body.id("client_reference_id") if number or not email else None
    return ids.distinct(
        customer_named(raw, number),
        customer_named(raw, own),
        email,
        phone_of(details, "phone") or phone_of(customer, "phone"),
        ids.token(ids.CHECKOUT_TOKEN, body.id("id")),
        by_reference(raw, "order", reference(body, "payment_intent")),
        by_reference(raw, "subscription", reference(body, "subscription")),
    )


def _session_traits(delivery: Delivery) -> Json:
    body = delivery.object
    said = body.nested("consent").text("promotions")
    state = _CONSENT.get(said or "")
    locale = body.text("locale")
    traits = person(body.nested("customer_details"), expanded(body, "customer"))
    if locale not in (None, "auto"):
        traits["locale"] = locale
    if state is not None:
        traits["consent"] = {"email": {"state": state, "at": iso(delivery.at())}}
    return traits


def paid(delivery: Delivery) -> Meant:
    body, raw = delivery.object, delivery.raw
    payment, invoice = body.id("id"), reference(body, "invoice")
    number = invoice or payment
    currency = body.currency("currency")
    total = amount(body, "amount_received", currency) or amount(body, "amount", currency)
    charges = list(body.nested("charges").rows("data"))
    charge = charges[0] if charges else expanded(body, "latest_charge")
    details, customer = charge.nested("billing_details"), expanded(body, "customer")
    return Meant(
        happenings=(Happening("order.paid", delivery.at(), number),),
        identifiers=ids.distinct(
            customer_named(raw, reference(body, "customer")),
            email_of(body, "receipt_email")
            or email_of(details, "email")
            or email_of(customer, "email"),
            phone_of(details, "phone") or phone_of(customer, "phone"),
            by_reference(raw, "order", number),
            by_reference(raw, "order", payment),
        ),
        object=object_ref("order", number, delivery.created),
        traits=person(details, customer),
        data={"order_id": number, "total": total, "items": list[Json]()}
        | some(
            payment_id=payment if invoice else None,
            invoice_id=invoice,
            description=body.text("description"),
        )
        | metadata(delivery, body),
    )


def charge_refunded(delivery: Delivery) -> Meant:
    """Says how much has gone back in all; older versions list each refund with its number."""
    body, raw = delivery.object, delivery.raw
    payment = reference(body, "payment_intent") or body.id("id")
    order = reference(body, "invoice") or payment
    details, customer = body.nested("billing_details"), expanded(body, "customer")
    return Meant(
        happenings=tuple(_charge_refunds(delivery, order)),
        identifiers=ids.distinct(
            customer_named(raw, reference(body, "customer")),
            email_of(details, "email")
            or email_of(body, "receipt_email")
            or email_of(customer, "email"),
            phone_of(details, "phone") or phone_of(customer, "phone"),
            by_reference(raw, "order", order),
            by_reference(raw, "order", payment),
        ),
        object=object_ref("order", order, delivery.created),
        traits=person(details, customer),
        data={"order_id": order},
    )


def _charge_refunds(delivery: Delivery, order: str | None) -> Iterator[Happening]:
    body = delivery.object
    currency = body.currency("currency")
    listed = list(body.nested("refunds").rows("data"))
    for each in listed:
        if each.text("status") not in _REFUND_DID_NOT_HAPPEN:
            yield _refunded(each, delivery.at(each.time("created")), order, currency, each.id("id"))
    if listed:
        return
    before = delivery.event.nested("data").nested("previous_attributes")
    refunded = body.number("amount_refunded") or 0
    minor = refunded - (before.number("amount_refunded") or 0)
    yield Happening(
        "order.refunded",
        delivery.at(),
        _refund_subject(body.id("id"), refunded),
        {"order_id": order, "refund_id": None, "total": major(minor, currency), "items": []},
    )


def refund(delivery: Delivery) -> Meant:
    """``refund.*`` and ``charge.refund.updated``; one that failed or waits is no refund yet."""
    body, raw = delivery.object, delivery.raw
    order = reference(body, "payment_intent") or reference(body, "charge")
    failed = delivery.type == "refund.failed"
    happened = not failed and body.text("status") not in _REFUND_DID_NOT_HAPPEN
    if not happened:
        body.note("status", "no money went back, or not yet: no refund is told")
    version = delivery.event.text("api_version") or ""
    subject = body.id("id")
    if version >= _REFUNDS_APART_SINCE:
        subject = _refund_subject(reference(body, "charge"), body.number("amount")) or subject
    told = _refunded(body, delivery.at(body.time("created")), order, None, subject)
    return Meant(
        happenings=(told,) if happened else (),
        identifiers=ids.distinct(by_reference(raw, "order", order)),
        object=object_ref("order", order, None),
        traits={},
        data={"order_id": order},
    )


def _refund_subject(charge: str | None, minor: int | None) -> str | None:
    """What ``charge.refunded`` and ``refund.*`` can both say of a charge's first refund.

    ``minor``: what had gone back by then, so that two refunds of one amount stay two.
    """
    return f"{charge} {minor}" if charge and minor is not None else None


def _refunded(
    body: Reader, at: dt.datetime, order: str | None, currency: str | None, subject: str | None
) -> Happening:
    data: Json = {
        "order_id": order,
        "refund_id": body.id("id"),
        "total": amount(body, "amount", body.currency("currency") or currency),
        "reason": body.text("reason"),
        "items": [],
    }
    return Happening("order.refunded", at, subject, data)
