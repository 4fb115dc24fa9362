"""Events that somebody puts in by hand: ``POST /api/v1/events`` and ``chappe events send``.

The door has checked the shape already; this reads it back from the stream.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Final

from chappe.events import API_SOURCE, IMPORTED, Event, Flags, Identifier, RawRecord
from chappe_ingest.domain import consent, marks
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Fact, Normalised, event_id, is_historical
from chappe_ingest.domain.privacy import free_form, taken_away
from chappe_ingest.domain.reading import Json, Reader, Times, Unreadable, parse

NAMES: Final = frozenset(
    [
        "contact.created",
        "contact.updated",
        "contact.consent_changed",
        "cart.updated",
        "checkout.started",
        "checkout.updated",
        "checkout.expired",
        "order.placed",
        "order.paid",
        "order.updated",
        "order.fulfilled",
        "order.cancelled",
        "order.refunded",
        "product.viewed",
        "page.viewed",
        "subscription.created",
        "subscription.renewing",
        "subscription.cancelled",
        "subscription.payment_failed",
    ]
)
ASKED: Final = frozenset({"privacy.erase_requested"})
"""What our own API asks for; nobody may state it through ``/api/v1/events``."""

_OWN: Final = frozenset({"consent", "email", "phone"})

CUSTOM: Final = re.compile(r"custom\.[a-z0-9_]{1,100}")

_MAKERS: Final[dict[str, Callable[[str | None], Identifier | None]]] = {
    ids.EMAIL: ids.email,
    ids.PHONE: ids.phone,
    ids.EXTERNAL_ID: ids.external_id,
    ids.ANONYMOUS_ID: ids.anonymous_id,
    ids.CHECKOUT_TOKEN: partial(ids.token, ids.CHECKOUT_TOKEN),
    ids.CART_TOKEN: partial(ids.token, ids.CART_TOKEN),
}


def may_be_stated(name: str) -> bool:
    """True for facts of a shop and custom ones; the others are stated by services alone."""
    return name in NAMES or CUSTOM.fullmatch(name) is not None


def identifier(kind: str | None, value: str | None) -> Identifier | None:
    """The identifier in the form we know it by; None for an unknown type or an unusable value."""
    make = _MAKERS.get(kind or "")
    return make(value) if make else None


def normalise(raw: RawRecord, links: Links) -> Normalised:
    """The one event of the call. Raises ``Unreadable`` on a name that may not be stated."""
    warnings: list[str] = []
    body = Reader(parse(raw.body), warnings)
    name = body.text("name") or ""
    if not may_be_stated(name) and name not in ASKED:
        raise Unreadable(f"no event that may be stated from outside: {name[:100]}")
    data = free_form(body.nested("data"), links)
    named = ids.distinct(
        *(identifier(each.text("type"), each.text("value")) for each in body.rows("identifiers")),
        *(ids.token(kind, body.nested("data").id(kind)) for kind in sorted(ids.TOKENS)),
    )
    contact = body.id("contact")
    if not named and contact is None:
        raise Unreadable("the event names no contact")
    occurred_at = Times(raw.received_at).first(body.time("occurred_at"))
    event = Event(
        id=event_id(raw, None, 0),
        name=name,
        workspace=raw.workspace,
        source=raw.source,
        source_event=IMPORTED if marks.HISTORICAL in raw.headers else API_SOURCE,
        occurred_at=occurred_at,
        received_at=raw.received_at,
        identifiers=named,
        traits=_traits(body.nested("traits"), links),
        data=data,
        flags=Flags(historical=is_historical(occurred_at, raw.received_at)),
    )
    return Normalised((Fact(event),), named, body.id("id"), tuple(warnings), contact)


def _traits(traits: Reader, links: Links) -> Json:
    stated = consent.stated(traits)
    free = free_form(traits, links, without=_OWN) | taken_away(traits, without=_OWN)
    return free | ({"consent": stated} if stated else {})
