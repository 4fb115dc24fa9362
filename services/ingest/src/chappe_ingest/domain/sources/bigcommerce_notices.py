"""What BigCommerce's notices say by themselves, and what to ask the API for.

Paths are made of ids only after these were checked; the store's address is in our settings.
"""

import dataclasses
import datetime as dt
import re
from collections.abc import Iterator
from typing import Final

from chappe.events import Identifier, RawRecord
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import ALARM, PAUSE_SOURCE, Effect, Hydration
from chappe_ingest.domain.reading import Json, Reader, iso
from chappe_ingest.domain.sources.facts import (
    Happening,
    Meant,
    by_object,
    customer_of,
    happened_at,
    object_ref,
    some,
)

NOT_PLACED: Final = frozenset({"0", "5", "6"})
"""Incomplete, cancelled, declined."""
SHIPPED: Final = frozenset({"2", "10"})
CANCELLED: Final = "5"

_NUMBER = re.compile(r"[0-9]{1,18}")
_CART = re.compile(r"[0-9A-Za-z-]{8,64}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """``topic`` as it came, ``scope`` without ``store/`` and channel; ``about`` is its ``data``."""

    raw: RawRecord
    topic: str
    scope: str
    body: Reader
    about: Reader
    links: Links

    @property
    def sent_at(self) -> dt.datetime:
        return happened_at(self.raw, self.body.time("created_at"))


def cart_of(notice: Notice) -> str | None:
    """A line's notice has its own id, and the cart's beside it."""
    return notice.about.id("cartId", "id")


def order_of(notice: Notice) -> str | None:
    """A parcel's notice has its own id, and the order's beside it."""
    names = ("id",) if notice.scope.startswith("order/") else ("orderId", "order_id")
    number = notice.about.id(*names)
    return number if ids.usable(number) else None


def cart(notice: Notice) -> Meant:
    return _cart(notice, "cart.updated", hydration=_ask_cart(cart_of(notice)))


def cart_deleted(notice: Notice) -> Meant:
    """It is gone, so there is nobody to ask."""
    return _cart(notice, "cart.updated", {"items": [], "emptied": True})


def cart_abandoned(notice: Notice) -> Meant:
    return _cart(
        notice,
        "checkout.expired",
        {"abandoned_token": notice.about.id("token")},
        subject=cart_of(notice),
        hydration=_ask_cart(cart_of(notice)),
    )


def cart_converted(notice: Notice) -> Meant:
    """Its order: placed by a buyer, whatever its payment will come to."""
    number = order_of(notice)
    placed = _cart(
        notice,
        "order.placed",
        {"order_id": number, "completed": True},
        subject=number,
        hydration=_ask_order(number),
    )
    return dataclasses.replace(
        placed,
        identifiers=ids.distinct(*placed.identifiers, order_key(notice, number)),
        object=object_ref("order", number, notice.sent_at),
    )


def _cart(
    notice: Notice,
    name: str,
    more: Json | None = None,
    *,
    subject: str | None = None,
    hydration: Hydration | None = None,
) -> Meant:
    number = cart_of(notice)
    return Meant(
        happenings=(Happening(name, notice.sent_at, subject),),
        identifiers=cart_keys(number),
        object=object_ref("cart", number, notice.sent_at),
        traits={},
        data={"cart_token": number, "checkout_token": number} | (more or {}),
        hydration=hydration,
    )


def cart_keys(number: str | None) -> tuple[Identifier, ...]:
    """The checkout of a cart has the cart's own id."""
    return ids.distinct(ids.token(ids.CHECKOUT_TOKEN, number), ids.token(ids.CART_TOKEN, number))


def order(notice: Notice) -> Meant:
    """Without its status an order is not known to be placed."""
    number = order_of(notice)
    status = notice.about.nested("status").id("new_status_id")
    return Meant(
        happenings=tuple(transitions(notice, number, status, at=notice.sent_at)),
        identifiers=ids.distinct(order_key(notice, number)),
        object=object_ref("order", number, notice.sent_at),
        traits={},
        data={"order_id": number} | some(status_id=status),
        hydration=_ask_order(number),
    )


def transitions(
    notice: Notice,
    number: str | None,
    status: str | None,
    *,
    at: dt.datetime,
    placed_at: dt.datetime | None = None,
) -> Iterator[Happening]:
    """What an order's status shows, and last the notice's own news."""
    if status is not None and status not in NOT_PLACED:
        yield Happening("order.placed", placed_at or at, number)
    if status in SHIPPED or notice.scope == "shipment/created":
        yield Happening("order.fulfilled", at, number)
    if status == CANCELLED:
        yield Happening("order.cancelled", at, number)
    created = notice.scope in {"order/created", "cart/converted"}
    if not notice.scope.startswith("shipment/") and (
        not created or status is None or status in NOT_PLACED
    ):
        yield Happening("order.updated", at)


def order_key(notice: Notice, number: str | None) -> Identifier | None:
    return by_object(notice.raw, "order", number)


def refund(notice: Notice) -> Meant:
    """The notice names the order and, inside, the refund."""
    number = order_of(notice)
    refund_id = notice.about.nested("refund").id("refund_id", "id")
    data: Json = {"order_id": number, "refund_id": refund_id, "items": []}
    return Meant(
        happenings=(Happening("order.refunded", notice.sent_at, refund_id, data),),
        identifiers=ids.distinct(order_key(notice, number)),
        object=object_ref("order", number, None),
        traits={},
        data=data,
        hydration=_ask(_NUMBER, number, "/v3/orders/{}/payment_actions/refunds"),
    )


def shipment(notice: Notice) -> Meant:
    """A parcel: the first makes the order fulfilled."""
    number = order_of(notice)
    return Meant(
        happenings=(Happening("order.fulfilled", notice.sent_at, number),),
        identifiers=ids.distinct(order_key(notice, number)),
        object=object_ref("order", number, None),
        traits={},
        data={"order_id": number, "shipment_id": notice.about.id("id")},
        hydration=_ask_order(number),
    )


def customer_number(notice: Notice) -> str | None:
    """An address's notice has its own id, and the customer's inside."""
    return notice.about.nested("address").id("customer_id") or notice.about.id("id")


def customer(notice: Notice) -> Meant:
    number = customer_number(notice)
    gone = notice.scope == "customer/deleted"
    return Meant(
        happenings=(customer_news(notice, number),),
        identifiers=ids.distinct(customer_of(notice.raw, number)),
        object=object_ref("customer", number, notice.sent_at),
        traits={},
        data={"customer_id": number},
        hydration=None if gone else _ask(_NUMBER, number, "/v3/customers?id:in={}"),
    )


def customer_news(notice: Notice, number: str | None) -> Happening:
    match notice.scope:
        case "customer/created":
            return Happening("contact.created", notice.sent_at, number)
        case "customer/deleted":
            return Happening("contact.deleted", notice.sent_at, number)
        case _:
            return Happening("contact.updated", notice.sent_at)


def subscriber(notice: Notice) -> Meant:
    """On the newsletter's list, or off it."""
    number = notice.about.id("id")
    gone = notice.scope == "subscriber/deleted"
    return Meant(
        happenings=(Happening("contact.consent_changed", notice.sent_at),),
        identifiers=ids.distinct(subscriber_key(notice, number)),
        object=object_ref("subscriber", number, notice.sent_at),
        traits=subscriber_consent(notice),
        data={"subscriber_id": number},
        hydration=None if gone else _ask(_NUMBER, number, "/v3/customers/subscribers/{}"),
    )


def subscriber_key(notice: Notice, number: str | None) -> Identifier | None:
    return by_object(notice.raw, "subscriber", number)


def subscriber_consent(notice: Notice) -> Json:
    """An update says nothing about consent: restated, it is nothing new."""
    state = {"subscriber/created": "subscribed", "subscriber/deleted": "unsubscribed"}.get(
        notice.scope
    )
    if state is None:
        return {}
    return {"consent": {"email": {"state": state, "at": iso(notice.sent_at)}}}


def trouble(notice: Notice) -> Meant:
    """BigCommerce could not deliver to us, or blocks us for a while."""
    code = notice.about.id("code", "error_code") or notice.about.nested("exception").id("code")
    why = f"BigCommerce reports that deliveries to us fail (code {code or 'not given'})"
    return Meant(traits={}, data={}, effects=(Effect(ALARM, why),))


def uninstalled(_notice: Notice) -> Meant:
    reason = "the app was uninstalled in BigCommerce: no more webhooks will come"
    return Meant(traits={}, data={}, effects=(Effect(PAUSE_SOURCE, reason), Effect(ALARM, reason)))


def _ask_cart(number: str | None) -> Hydration | None:
    return _ask(_CART, number, "/v3/carts/{}?include=redirect_urls")


def _ask_order(number: str | None) -> Hydration | None:
    return _ask(_NUMBER, number, "/v2/orders/{}?include=consignments.line_items")


def _ask(shape: re.Pattern[str], number: str | None, path: str) -> Hydration | None:
    if number is None or not shape.fullmatch(number):
        return None
    return Hydration(path.format(number))
