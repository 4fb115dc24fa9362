"""From what a storefront's delivery meant to the facts we keep of it.

Written for Shopify, shared by WooCommerce, Stripe and BigCommerce: a delivery is read for every
happening it shows, and each happening becomes one event with its own time.
"""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from chappe.events import Event, Flags, Identifier, ObjectRef, RawRecord
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.normalised import (
    Fact,
    Normalised,
    event_id,
    is_historical,
    meaning_of,
    scope_of,
)
from chappe_ingest.domain.reading import Json, Reader, Times, sortable

PAUSE_SOURCE: Final = "pause_source"
ALARM: Final = "alarm"
ERASE_SHOP: Final = "erase_shop"


@dataclass(frozen=True, slots=True)
class Effect:
    """Something to do about the source itself: one of the three names above, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Hydration:
    """What to ask the vendor's API for: ``path`` below the store's own address, from our settings.

    The delivery's facts are what can be said without the answer, for a source that has no API
    token and for a thing that is gone; with an answer, ``hydrated`` takes their place.
    """

    path: str


@dataclass(frozen=True, slots=True)
class Told(Normalised):
    """A delivery that asks something of us beside its facts."""

    effects: tuple[Effect, ...] = ()
    hydration: Hydration | None = None


@dataclass(frozen=True, slots=True)
class Happening:
    """``subject`` names what it can happen to only once; None: it may happen again."""

    name: str
    at: dt.datetime
    subject: str | None = None
    data: Json | None = None
    object: ObjectRef | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """What a delivery says. A happening's own ``data`` and ``object`` take the place
    of the shared ones.
    """

    happenings: tuple[Happening, ...] = ()
    identifiers: tuple[Identifier, ...] = ()
    object: ObjectRef | None = None
    traits: Json
    data: Json
    effects: tuple[Effect, ...] = ()
    hydration: Hydration | None = None


NOTHING: Final = Meant(traits={}, data={})


def told(
    raw: RawRecord,
    meant: Meant,
    *,
    source_event: str,
    test: bool,
    delivery: str | None,
    warnings: list[str],
) -> Told:
    facts: list[Fact] = []
    for at, happening in enumerate(meant.happenings):
        meaning = happening.subject and meaning_of(raw, happening.name, happening.subject)
        event = Event(
            id=event_id(raw, meaning, at),
            name=happening.name,
            workspace=raw.workspace,
            source=raw.source,
            source_event=source_event[: ids.VALUE_MAX_CHARS],
            occurred_at=happening.at,
            received_at=raw.received_at,
            identifiers=meant.identifiers,
            object=happening.object or meant.object,
            traits=meant.traits,
            data=meant.data if happening.data is None else happening.data,
            flags=Flags(
                test=test,
                historical=is_historical(happening.at, raw.received_at),
                unverified=raw.public or raw.verified is not True,
            ),
        )
        facts.append(Fact(event, meaning))
    return Told(
        facts=tuple(facts),
        identifiers=meant.identifiers,
        delivery=delivery,
        warnings=tuple(warnings),
        effects=meant.effects,
        hydration=meant.hydration,
    )


def not_understood(what: str, delivery: str | None, warnings: list[str]) -> Told:
    warnings.append(f"{what[:100]} is not understood yet; it is stored")
    return Told(delivery=delivery, warnings=tuple(warnings))


def happened_at(raw: RawRecord, *candidates: dt.datetime | None) -> dt.datetime:
    """The first that is known, never after it reached us."""
    return Times(raw.received_at).first(*candidates)


def object_ref(kind: str, number: str | None, version: dt.datetime | None) -> ObjectRef | None:
    return ObjectRef(kind, number, sortable(version) if version else None) if number else None


def by_object(raw: RawRecord, kind: str, number: str | None) -> Identifier | None:
    """Joins deliveries that name nobody to the one that did: a refund to its order."""
    return Identifier(ids.OBJECT, f"{kind} {scope_of(raw)} {number}") if number else None


def customer_of(raw: RawRecord, number: str | None) -> Identifier | None:
    return ids.external_id(number, raw.namespace)


def email_of(body: Reader, *names: str) -> Identifier | None:
    """The first of ``names`` that is an address."""
    for name in names:
        text = body.text(name)
        if text is None:
            continue
        found = ids.email(text)
        if found is not None:
            return found
        body.note(name, "no e-mail address, left out")
    return None


def phone_of(body: Reader, *names: str) -> Identifier | None:
    return next((found for name in names if (found := ids.phone(body.text(name)))), None)


def some(**fields: object) -> Json:
    """Those that are there."""
    return {name: value for name, value in fields.items() if value is not None}


def money(amount: Decimal, currency: str | None) -> Json:
    return {"amount": format(amount, "f"), "currency": currency}
