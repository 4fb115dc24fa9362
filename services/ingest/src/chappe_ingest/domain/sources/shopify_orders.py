"""Shopify's carts, checkouts, orders, fulfilments and refunds.

An order is read for every transition it shows, each with its own time, whatever the topic that
brought it: webhooks come in any order.
"""

import dataclasses
import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.reading import Json, Reader, decimal_of
from chappe_ingest.domain.sources.facts import (
    Happening,
    Meant,
    email_of,
    money,
    object_ref,
    phone_of,
    some,
)
from chappe_ingest.domain.sources.shopify_reading import (
    Delivery,
    cart_token,
    codes,
    customer_id,
    header,
    item,
    items,
    noted_anonymous_id,
    number_of,
    order_key,
    shop_currency,
    traits,
)

_PAID: Final = frozenset({"paid", "partially_refunded", "refunded"})
_UPDATES: Final = frozenset({"orders/updated", "orders/partially_fulfilled"})
_REFUND_DID_NOT_HAPPEN: Final = frozenset({"failure", "error"})
_LINK_ITEMS_MAX: Final = 50


def cart(delivery: Delivery) -> Meant:
    """The Online Store's cart: it knows lines and a token, and nobody's name."""
    body = delivery.body
    token = body.id("token", "id")
    updated = body.time("updated_at")
    lines = list(body.rows("line_items"))
    currency = next((c for each in lines if (c := shop_currency(_line_price(each)))), None)
    amounts = [decimal_of(each.fields.get("line_price")) for each in lines]
    data: Json = {
        "cart_token": token,
        "total": money(sum((a for a in amounts if a is not None), Decimal(0)), currency),
        "items": [item(delivery, each, currency) for each in lines],
        "recovery_url": _cart_link(delivery, lines),
    }
    if body.fields.get("line_items") == []:
        data["emptied"] = True
    return Meant(
        happenings=(
            Happening("cart.updated", delivery.at(updated, body.time("created_at")), data=data),
        ),
        identifiers=ids.distinct(noted_anonymous_id(body), ids.token(ids.CART_TOKEN, token)),
        object=object_ref("cart", token, updated),
        traits={},
        data=data,
    )


def _line_price(line: Reader) -> Reader:
    return line.nested("line_price_set" if "line_price_set" in line.fields else "price_set")


def _cart_link(delivery: Delivery, lines: list[Reader]) -> str | None:
    """The shop's permalink for these lines.

    Its host comes from a header that nobody signed, so only the source's own domains will do.
    """
    host = header(delivery.raw, "shop-domain")
    pairs = [
        f"{variant}:{quantity}"
        for line in lines[:_LINK_ITEMS_MAX]
        if (variant := line.id("variant_id")) and variant.isdigit()
        if (quantity := line.number("quantity")) and quantity > 0
    ]
    if host is None or not pairs:
        return None
    own = dataclasses.replace(delivery.links, vendor=())
    return own.checked(f"https://{host}/cart/{','.join(pairs)}", delivery.body, "recovery_url")


def checkout(delivery: Delivery) -> Meant:
    body = delivery.body
    token = body.id("token")
    customer = body.nested("customer")
    created, updated = body.time("created_at"), body.time("updated_at")
    currency = body.currency("currency", "presentment_currency")
    if delivery.topic == "checkouts/create":
        happening = Happening("checkout.started", delivery.at(created, updated), token)
    else:
        happening = Happening("checkout.updated", delivery.at(updated, created))
    data: Json = {
        "checkout_token": token,
        "cart_token": cart_token(body),
        "total": body.money(currency, "total_price"),
        "subtotal": body.money(currency, "subtotal_price"),
        "discount": body.money(currency, "total_discounts"),
        "tax": body.money(currency, "total_tax"),
        "items": items(delivery, body, currency),
        "discount_codes": codes(body),
        "recovery_url": delivery.links.take(body, "abandoned_checkout_url"),
        "source_name": body.text("source_name"),
    }
    if body.time("completed_at") is not None:
        data["completed"] = True
    return Meant(
        happenings=(happening,),
        identifiers=ids.distinct(
            customer_id(delivery, customer),
            email_of(body, "email") or email_of(customer, "email"),
            phone_of(body, "phone", "sms_marketing_phone") or phone_of(customer, "phone"),
            noted_anonymous_id(body),
            ids.token(ids.CHECKOUT_TOKEN, token),
            ids.token(ids.CART_TOKEN, cart_token(body)),
        ),
        object=object_ref("checkout", token, updated),
        traits=traits(body, customer, granted_at=delivery.at(created, updated)),
        data=data,
    )


def checkout_deleted(delivery: Delivery) -> Meant:
    body = delivery.body
    token = body.id("token")
    return Meant(
        happenings=(Happening("checkout.expired", delivery.at(body.time("updated_at")), token),),
        identifiers=ids.distinct(
            ids.token(ids.CHECKOUT_TOKEN, token), ids.token(ids.CART_TOKEN, cart_token(body))
        ),
        object=object_ref("checkout", token or body.id("id"), None),
        traits={},
        data={"checkout_token": token, "cart_token": cart_token(body)},
    )


def order(delivery: Delivery) -> Meant:
    body = delivery.body
    number = number_of(body)
    customer = body.nested("customer")
    created, updated = body.time("created_at"), body.time("updated_at")
    placed = delivery.at(body.time("processed_at"), created, updated)
    return Meant(
        happenings=tuple(_transitions(delivery, number, placed=placed, updated=updated)),
        identifiers=ids.distinct(
            customer_id(delivery, customer),
            email_of(body, "contact_email", "email") or email_of(customer, "email"),
            phone_of(body, "phone")
            or phone_of(customer, "phone")
            or phone_of(body.nested("billing_address"), "phone"),
            noted_anonymous_id(body),
            ids.token(ids.CHECKOUT_TOKEN, body.id("checkout_token")),
            ids.token(ids.CART_TOKEN, cart_token(body)),
            order_key(delivery, number),
        ),
        object=object_ref("order", number, updated),
        traits=traits(body, customer, granted_at=placed),
        data=_order_data(delivery, number),
    )


def _order_data(delivery: Delivery, number: str | None) -> Json:
    body = delivery.body
    currency = body.currency("currency", "presentment_currency")
    return {
        "order_id": number,
        "number": body.text("name", "order_number"),
        "total": body.money(currency, "current_total_price", "total_price"),
        "subtotal": body.money(currency, "current_subtotal_price", "subtotal_price"),
        "discount": body.money(currency, "current_total_discounts", "total_discounts"),
        "shipping": body.nested("total_shipping_price_set")
        .nested("shop_money")
        .money(currency, "amount"),
        "tax": body.money(currency, "current_total_tax", "total_tax"),
        "checkout_token": body.id("checkout_token"),
        "cart_token": cart_token(body),
        "items": items(delivery, body, currency),
        "discount_codes": codes(body),
        "status_url": delivery.links.take(body, "order_status_url"),
        "payment_status": body.text("financial_status"),
        "fulfillment_status": body.text("fulfillment_status"),
        "source_name": body.text("source_name"),
    } | some(cancel_reason=body.text("cancel_reason"))


def _transitions(
    delivery: Delivery, number: str | None, *, placed: dt.datetime, updated: dt.datetime | None
) -> Iterator[Happening]:
    """Every once-only step that the order shows, and the topic's own news last."""
    body = delivery.body
    yield Happening("order.placed", placed, number)
    if body.text("financial_status") in _PAID or delivery.topic == "orders/paid":
        yield Happening("order.paid", delivery.at(updated, placed), number)
    if body.text("fulfillment_status") == "fulfilled" or delivery.topic == "orders/fulfilled":
        fulfilled = [each.time("created_at") for each in body.rows("fulfillments")]
        last = max((at for at in fulfilled if at is not None), default=None)
        yield Happening("order.fulfilled", delivery.at(last, updated), number)
    cancelled = body.time("cancelled_at")
    if cancelled is not None or delivery.topic == "orders/cancelled":
        yield Happening("order.cancelled", delivery.at(cancelled, updated), number)
    for each in body.rows("refunds"):
        yield _refunded(delivery, each, number, body.currency("currency"))
    if delivery.topic in _UPDATES:
        yield Happening("order.updated", delivery.at(updated))


def refund(delivery: Delivery) -> Meant:
    """Names no customer: it joins its order by number."""
    body = delivery.body
    number = body.id("order_id")
    happening = _refunded(delivery, body, number, None)
    return Meant(
        happenings=(happening,),
        identifiers=ids.distinct(order_key(delivery, number)),
        object=object_ref("order", number, None),
        traits={},
        data=happening.data or {},
    )


def _refunded(
    delivery: Delivery, body: Reader, number: str | None, currency: str | None
) -> Happening:
    """One refund, with the money that went back: none when goods were only restocked."""
    refund_id = number_of(body)
    moved = [
        each
        for each in body.rows("transactions")
        if each.text("kind") == "refund" and each.text("status") not in _REFUND_DID_NOT_HAPPEN
    ]
    lines = list(body.rows("refund_line_items"))
    amounts = [decimal_of(each.fields.get("amount")) for each in moved]
    currency = (
        next((c for each in moved if (c := each.currency("currency"))), None)
        or next((c for each in lines if (c := shop_currency(each.nested("subtotal_set")))), None)
        or currency
        or shop_currency(body.nested("total_duties_set"))
    )
    data: Json = {
        "order_id": number,
        "refund_id": refund_id,
        "total": money(sum((a for a in amounts if a is not None), Decimal(0)), currency),
        "restock": body.flag("restock"),
        "items": [
            item(delivery, each.nested("line_item"), currency)
            | {"quantity": each.number("quantity")}
            for each in lines
        ],
    }
    at = delivery.at(body.time("processed_at"), body.time("created_at"))
    return Happening("order.refunded", at, refund_id, data)


def fulfilment(delivery: Delivery) -> Meant:
    """A parcel. The first that succeeds makes the order fulfilled; what follows are updates."""
    body = delivery.body
    number = body.id("order_id")
    created, updated = body.time("created_at"), body.time("updated_at")
    happenings: list[Happening] = []
    if body.text("status") == "success":
        happenings.append(Happening("order.fulfilled", delivery.at(created, updated), number))
    if not happenings or delivery.topic == "fulfillments/update":
        happenings.append(Happening("order.updated", delivery.at(updated, created)))
    lines = list(body.rows("line_items"))
    currency = next((c for each in lines if (c := shop_currency(each.nested("price_set")))), None)
    name = body.text("name")
    return Meant(
        happenings=tuple(happenings),
        identifiers=ids.distinct(
            email_of(body, "email"),
            phone_of(body.nested("destination"), "phone"),
            order_key(delivery, number),
        ),
        object=object_ref("order", number, None),
        traits={},
        data={
            "order_id": number,
            "number": name.rpartition(".")[0] or name if name else None,
            "fulfillment_id": number_of(body),
            "fulfillment_status": body.text("status"),
            "shipment_status": body.text("shipment_status"),
            "tracking_company": body.text("tracking_company"),
            "tracking_number": body.text("tracking_number"),
            "tracking_url": delivery.links.take(body, "tracking_url"),
            "items": [item(delivery, each, currency) for each in lines],
        },
    )


def edited(delivery: Delivery) -> Meant:
    """``orders/edited`` is about the edit: it has the order's number and no customer."""
    edit = delivery.body.nested("order_edit")
    number = edit.id("order_id")
    at = delivery.at(edit.time("committed_at"), edit.time("created_at"))
    return Meant(
        happenings=(Happening("order.updated", at),),
        identifiers=ids.distinct(order_key(delivery, number)),
        object=object_ref("order", number, None),
        traits={},
        data={
            "order_id": number,
            "edit_id": edit.id("id"),
            "notify_customer": edit.flag("notify_customer"),
        },
    )
