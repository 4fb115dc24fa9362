"""Commerce's orders, and their papers: invoices, shipments, credit memos."""

import datetime as dt
from collections.abc import Iterator
from typing import Final

from chappe.events import Identifier
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.reading import Reader, decimal_of
from chappe_ingest.domain.sources import facts
from chappe_ingest.domain.sources.adobe_reading import (
    Told,
    address_of,
    codes_of,
    discount_of,
    items_of,
    money_in,
    traits_of,
)
from chappe_ingest.domain.sources.facts import Happening, Meant

_NOT_PLACED: Final = {"pending_payment", "canceled"}


def order_news(told: Told) -> Iterator[Meant]:
    order, at = told.order, told.delivery.at
    number, updated = order.id("entity_id", "id"), order.time("updated_at")
    if number is None:
        number = order.id("real_order_id", "increment_id")
    currency = order.currency("order_currency_code", "base_currency_code")
    billing = address_of(order)
    cart = told.cart(order.id("quote_id"))
    named = ids.distinct(
        ids.external_id(order.id("customer_id"), told.raw.namespace),
        facts.email_of(order, "customer_email") or facts.email_of(billing, "email"),
        facts.phone_of(billing, "telephone"),
        ids.token(ids.CART_TOKEN, cart),
    )
    traits = traits_of(order, billing, prefix="customer_")
    yield Meant(
        happenings=tuple(_transitions(told, number, at(updated, told.sent_at))),
        identifiers=named or facts.itself(told.raw, "order", number),
        object=facts.object_ref("order", number, updated or told.sent_at),
        traits=traits,
        data={
            "order_id": number,
            "number": order.text("increment_id", "real_order_id"),
            "total": money_in(order, currency, "grand_total"),
            "subtotal": money_in(order, currency, "subtotal"),
            "cart_token": cart,
            "items": items_of(order, currency),
            "discount_codes": codes_of(order),
        }
        | facts.some(
            discount=discount_of(order, currency),
            shipping=money_in(order, currency, "shipping_amount"),
            tax=money_in(order, currency, "tax_amount"),
            status=order.text("status", "state"),
        ),
    )


def _transitions(told: Told, number: str | None, changed: dt.datetime) -> Iterator[Happening]:
    """Every step that happens once and that the order shows; its own news last."""
    order, at = told.order, told.delivery.at
    state = (order.text("state", "status") or "").lower()
    created = at(order.time("created_at"), told.sent_at)
    placing = "place" in told.type
    if placing or state not in _NOT_PLACED:
        yield Happening("order.placed", created, number)
    if state != "canceled" and _is_paid(order, state):
        yield Happening("order.paid", changed, number)
    if state == "complete":
        yield Happening("order.fulfilled", changed, number)
    if state == "canceled" or "cancel" in told.type:
        yield Happening("order.cancelled", changed, number)
    if not placing:
        yield Happening("order.updated", changed)


def _is_paid(order: Reader, state: str) -> bool:
    total, paid, due = (
        decimal_of(order.fields.get(name)) for name in ("grand_total", "total_paid", "total_due")
    )
    if paid is not None and total is not None:
        return paid >= total
    return state == "complete" or (due is not None and due <= 0 and state == "processing")


def invoice(told: Told) -> Iterator[Meant]:
    """An invoice in state 2 is paid."""
    invoice = told.value
    paid = "invoice_pay" in told.type or invoice.text("state") == "2"
    name = "order.paid" if paid else "order.updated"
    yield _of_order(told, name, once=paid)


def shipment(told: Told) -> Iterator[Meant]:
    yield _of_order(told, "order.fulfilled", once=True)


def _of_order(told: Told, name: str, *, once: bool) -> Meant:
    """A paper of an order: it names the order, and perhaps the customer."""
    paper = told.value
    number = paper.id("order_id")
    at = told.delivery.at(paper.time("created_at", "updated_at"), told.sent_at)
    return Meant(
        happenings=(Happening(name, at, number if once else None),),
        identifiers=_of_paper(told, number),
        object=facts.object_ref("order", number),
        data={"order_id": number, "number": paper.text("order_increment_id")}
        | facts.some(
            total=money_in(
                paper, paper.currency("order_currency_code", "base_currency_code"), "grand_total"
            )
        ),
    )


def refund(told: Told) -> Iterator[Meant]:
    memo = told.value
    number, order = memo.id("entity_id", "increment_id"), memo.id("order_id")
    currency = memo.currency("order_currency_code", "base_currency_code")
    at = told.delivery.at(memo.time("created_at", "updated_at"), told.sent_at)
    yield Meant(
        happenings=(Happening("order.refunded", at, number),),
        identifiers=_of_paper(told, order),
        object=facts.object_ref("order", order),
        data={
            "order_id": order,
            "refund_id": number,
            "total": money_in(memo, currency, "grand_total"),
            "items": items_of(memo, currency),
        },
    )


def _of_paper(told: Told, order: str | None) -> tuple[Identifier, ...]:
    named = ids.distinct(
        ids.external_id(told.value.id("customer_id"), told.raw.namespace),
        facts.email_of(told.value, "customer_email"),
    )
    return named or facts.itself(told.raw, "order", order)
