"""From what a delivery says to the facts it states: what every adapter shares.

A delivery is read for every happening it shows, and each happening becomes one event with its own
time.
"""

import dataclasses
import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Final, cast

import msgspec

from chappe.events import Event, Flags, Identifier, ObjectRef, RawRecord
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import (
    Effect,
    Fact,
    Hydration,
    Normalised,
    event_id,
    is_historical,
    meaning_of,
    scope_of,
)
from chappe_ingest.domain.reading import Json, Reader, Times, decimal_of, sortable

DECIMALS_MAX: Final = 3
"""No currency in use has more (ISO 4217)."""

PUBLIC: Final = ("page.", "product.", "cart.", "checkout.", "custom.")
"""What a key may state that everybody can read in a browser."""


@dataclasses.dataclass(frozen=True, slots=True)
class Happening:
    """``subject`` names what it can happen to only once; None: it may happen again.

    ``data`` and ``object`` take the place of the shared ones; ``more`` is added to the data.
    """

    name: str
    at: dt.datetime
    subject: str | None = None
    data: Json | None = None
    object: ObjectRef | None = None
    more: Json = dataclasses.field(default_factory=dict[str, Any])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """What happened to one object, whom it is about, and what it asks of us."""

    happenings: tuple[Happening, ...] = ()
    identifiers: tuple[Identifier, ...] = ()
    object: ObjectRef | None = None
    traits: Json = dataclasses.field(default_factory=dict[str, Any])
    data: Json = dataclasses.field(default_factory=dict[str, Any])
    effects: tuple[Effect, ...] = ()
    hydration: Hydration | None = None


NOTHING: Final = Meant()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One delivery as an adapter reads it. ``links`` know the vendor's own hosts too."""

    raw: RawRecord
    topic: str
    warnings: list[str]
    links: Links
    test: bool = False

    def at(self, *candidates: dt.datetime | None) -> dt.datetime:
        """The first time that is known, and never after the delivery reached us."""
        return happened_at(self.raw, *candidates)

    def note(self, what: str) -> None:
        Reader({}, self.warnings).note(self.topic[: ids.VALUE_MAX_CHARS], what)

    def told(self, meant: Iterable[Meant], key: str | None) -> Normalised:
        """``key`` is the sender's own name for the delivery."""
        return told(
            self.raw,
            *meant,
            source_event=self.topic,
            test=self.test,
            delivery=key,
            warnings=self.warnings,
        )


def told(
    raw: RawRecord,
    *meant: Meant,
    source_event: str,
    test: bool,
    delivery: str | None,
    warnings: list[str],
) -> Normalised:
    """The facts of ``meant``, in order."""
    facts = tuple(_facts(raw, meant, source_event[: ids.VALUE_MAX_CHARS], warnings, test=test))
    return Normalised(
        facts=facts,
        identifiers=ids.distinct(*(each for one in meant for each in one.identifiers)),
        delivery=delivery,
        warnings=tuple(warnings),
        effects=tuple(effect for one in meant for effect in one.effects),
        hydration=next((one.hydration for one in meant if one.hydration is not None), None),
    )


def _facts(
    raw: RawRecord, meant: tuple[Meant, ...], source_event: str, warnings: list[str], *, test: bool
) -> Iterator[Fact]:
    happened = [(one, each) for one in meant for each in one.happenings]
    for at, (one, happening) in enumerate(happened):
        if raw.public and not happening.name.startswith(PUBLIC):
            why = f"a public source may not state {happening.name}, left out"
            Reader({}, warnings).note(source_event, why)
            continue
        meaning = happening.subject and meaning_of(raw, happening.name, happening.subject)
        event = Event(
            id=event_id(raw, meaning or None, at),
            name=happening.name,
            workspace=raw.workspace,
            source=raw.source,
            source_event=source_event or None,
            occurred_at=happening.at,
            received_at=raw.received_at,
            identifiers=one.identifiers,
            object=happening.object or one.object,
            traits=one.traits,
            data=(one.data if happening.data is None else happening.data) | happening.more,
            flags=Flags(
                test=test,
                historical=is_historical(happening.at, raw.received_at),
                unverified=raw.public or raw.verified is not True,
            ),
        )
        yield Fact(event, meaning or None)


def not_understood(what: str, delivery: str | None, warnings: list[str]) -> Normalised:
    warnings.append(f"{what[:100]} is not understood yet; it is stored")
    return Normalised(delivery=delivery, warnings=tuple(warnings))


def happened_at(raw: RawRecord, *candidates: dt.datetime | None) -> dt.datetime:
    """The first that is known, never after it reached us."""
    return Times(raw.received_at).first(*candidates)


def object_ref(
    kind: str, number: str | None, version: dt.datetime | str | None = None
) -> ObjectRef | None:
    if not number:
        return None
    return ObjectRef(
        kind, number, sortable(version) if isinstance(version, dt.datetime) else version
    )


def by_object(raw: RawRecord, kind: str, number: str | None) -> Identifier | None:
    """Joins deliveries that name nobody to the one that did: a refund to its order."""
    return Identifier(ids.OBJECT, f"{kind} {scope_of(raw)} {number}") if number else None


def itself(raw: RawRecord, kind: str, number: str | None) -> tuple[Identifier, ...]:
    """Stands in for the contact of an order or customer that names nobody."""
    return ids.distinct(by_object(raw, kind, number))


def shop_itself(raw: RawRecord) -> tuple[Identifier, ...]:
    """Whom news about the shop's products is about: one stand-in for the whole shop."""
    return (Identifier(ids.OBJECT, f"shop {scope_of(raw)}"),)


def customer_of(raw: RawRecord, number: str | None) -> Identifier | None:
    return ids.external_id(number, raw.namespace)


def scoped_token(raw: RawRecord, kind: str, number: str | None) -> Identifier | None:
    """A cart or checkout known by a small number of the shop's: unique in its scope alone."""
    return ids.token(kind, f"{scope_of(raw)}:{number}") if ids.usable(number) else None


def email_of(body: Reader, *names: str) -> Identifier | None:
    """The first address among ``names``; text that is none leaves a warning."""
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


def body_hash(raw: RawRecord) -> str:
    return hashlib.sha256(raw.body).hexdigest()


def some(**fields: object) -> Json:
    """Those that are there."""
    return present(fields)


def present(fields: Json) -> Json:
    """Without the fields that hold nothing."""
    return {name: value for name, value in fields.items() if value is not None}


def money(amount: Decimal, currency: str | None) -> Json:
    return {"amount": format(amount, "f"), "currency": currency}


def tidy(amount: str) -> str:
    """PrestaShop writes 49.900000 and Magento 49.9000; two decimals say the same."""
    whole, point, decimals = amount.partition(".")
    if len(decimals) <= DECIMALS_MAX:
        return amount
    return whole + point + decimals.rstrip("0").ljust(2, "0")


def money_of(value: object, currency: str | None) -> Json | None:
    """From what a document holds; None for what is no amount."""
    amount = decimal_of(value)
    return None if amount is None else money(amount, currency)


def glance(body: bytes) -> Any:
    """The body's JSON without our care for it, for a place in the order; None when it is none."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None


def inside(value: Any, *path: str | int) -> Any:
    """What lies at ``path`` in a decoded document, or None."""
    for step in path:
        if isinstance(step, int):
            rows = cast("list[Any]", value) if isinstance(value, list) else []
            value = rows[step] if 0 <= step < len(rows) else None
        else:
            value = cast("Json", value).get(step) if isinstance(value, dict) else None
    return value


def first_id(*candidates: Any) -> str | None:
    """The first usable text or whole number."""
    for each in candidates:
        if isinstance(each, str | int) and not isinstance(each, bool) and each not in ("", 0):
            return str(each)[: ids.VALUE_MAX_CHARS]
    return None
