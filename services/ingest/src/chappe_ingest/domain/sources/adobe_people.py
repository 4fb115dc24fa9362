"""Commerce's customers, newsletter, carts and products."""

import datetime as dt
from collections.abc import Iterator
from typing import Final

from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.reading import iso
from chappe_ingest.domain.sources import facts
from chappe_ingest.domain.sources.adobe_reading import (
    Told,
    address_of,
    codes_of,
    item_of,
    items_of,
    money_in,
    traits_of,
)
from chappe_ingest.domain.sources.facts import Happening, Meant

_NEW: Final = dt.timedelta(seconds=2)
"""A customer changed this soon after being made was only being made."""


_SUBSCRIBER_STATES: Final = {
    "1": "subscribed",
    "2": "pending",
    "3": "unsubscribed",
    "4": "pending",
}


def customer_news(told: Told) -> Iterator[Meant]:
    value = told.value
    inner = next((n for n in _CUSTOMER_UNDER if isinstance(value.fields.get(n), dict)), None)
    customer = value.nested(inner) if inner else value
    number = customer.id("entity_id", "id", "customer_id")
    created, updated = customer.time("created_at"), customer.time("updated_at")
    at, gone = told.delivery.at, "delete" in told.type
    new = created is not None and updated is not None and abs(updated - created) <= _NEW
    if gone:
        happening = Happening("contact.deleted", at(told.sent_at), number)
    elif new or "register" in told.type:
        happening = Happening("contact.created", at(created, told.sent_at), number)
    else:
        happening = Happening("contact.updated", at(updated, told.sent_at))
    billing = address_of(customer)
    yield Meant(
        happenings=(happening,),
        identifiers=ids.distinct(
            ids.external_id(number, told.raw.namespace),
            facts.email_of(customer, "email"),
            facts.phone_of(billing, "telephone"),
        ),
        object=facts.object_ref("customer", number, updated or told.sent_at),
        traits=traits_of(customer, billing),
        data={"customer_id": number},
    )


def subscriber_news(told: Told) -> Iterator[Meant]:
    subscriber = told.value
    state = _SUBSCRIBER_STATES.get(subscriber.text("subscriber_status", "status") or "")
    if state is None:
        subscriber.note("subscriber_status", "missing or unknown, so nothing is said")
        return
    at = told.delivery.at(subscriber.time("change_status_at"), told.sent_at)
    yield Meant(
        happenings=(Happening("contact.consent_changed", at),),
        identifiers=ids.distinct(
            ids.external_id(subscriber.id("customer_id"), told.raw.namespace),
            facts.email_of(subscriber, "subscriber_email", "email"),
        ),
        traits={"consent": {"email": {"state": state, "at": iso(at)}}},
    )


def cart_news(told: Told) -> Iterator[Meant]:
    quote = told.value
    number, updated = quote.id("entity_id", "id", "quote_id"), quote.time("updated_at")
    currency = quote.currency("quote_currency_code", "store_currency_code", "base_currency_code")
    cart, billing = told.cart(number), address_of(quote)
    ordered = str(quote.fields.get("is_active")).lower() in {"0", "false"}
    yield Meant(
        happenings=(Happening("cart.updated", told.delivery.at(updated, told.sent_at)),),
        identifiers=ids.distinct(
            ids.external_id(quote.id("customer_id"), told.raw.namespace),
            facts.email_of(quote, "customer_email"),
            facts.phone_of(billing, "telephone"),
            ids.token(ids.CART_TOKEN, cart),
        ),
        object=facts.object_ref("cart", cart, updated or told.sent_at),
        traits=traits_of(quote, billing, prefix="customer_"),
        data={
            "cart_token": cart,
            "total": money_in(quote, currency, "grand_total"),
            "subtotal": money_in(quote, currency, "subtotal"),
            "items": items_of(quote, currency),
            "discount_codes": codes_of(quote),
        }
        | ({"completed": True} if ordered else {}),
    )


def cart_item(told: Told) -> Iterator[Meant]:
    """One product put into a cart."""
    value = told.value
    item = value.nested("quote_item") if "quote_item" in value.fields else value
    cart = told.cart(item.id("quote_id"))
    currency = value.currency("quote_currency_code")
    yield Meant(
        happenings=(Happening("cart.updated", told.delivery.at(told.sent_at)),),
        identifiers=ids.distinct(
            ids.external_id(item.id("customer_id"), told.raw.namespace),
            ids.token(ids.CART_TOKEN, cart),
        ),
        object=facts.object_ref("cart", cart),
        data={"cart_token": cart, "items": [item_of(item, currency)]},
    )


def product_news(told: Told) -> Iterator[Meant]:
    value = told.value
    product = value.nested("product") if isinstance(value.fields.get("product"), dict) else value
    number, updated = product.id("entity_id", "id"), product.time("updated_at")
    sku = product.text("sku")
    yield Meant(
        happenings=(Happening("custom.product_saved", told.delivery.at(updated, told.sent_at)),),
        identifiers=facts.shop_itself(told.raw),
        object=facts.object_ref("product", number or sku, updated or told.sent_at),
        data={
            "product_id": number,
            "sku": sku,
            "title": product.text("name"),
            "price": money_in(product, None, "price"),
            "quantity": product.nested("stock_data").number("qty"),
            "deleted": "delete" in told.type,
        },
    )


_CUSTOMER_UNDER: Final = ("customer", "customer_data_object")
