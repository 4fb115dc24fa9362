"""From what a delivery says to the facts it states: what several adapters share."""

import dataclasses
import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Final, cast

import msgspec

from chappe.events import Event, Flags, Identifier, ObjectRef, RawRecord
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import (
    Fact,
    Normalised,
    event_id,
    is_historical,
    meaning_of,
    scope_of,
)
from chappe_ingest.domain.reading import Json, Reader, Times, decimal_of, sortable

PUBLIC: Final = ("page.", "product.", "cart.", "checkout.", "custom.")
"""What a key may state that everybody can read in a browser."""


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
        return Times(self.raw.received_at).first(*candidates)

    def note(self, what: str) -> None:
        Reader({}, self.warnings).note(self.topic[: ids.VALUE_MAX_CHARS], what)


@dataclasses.dataclass(frozen=True, slots=True)
class Happening:
    """``subject`` names what can happen but once; ``data`` replaces fields for this event alone."""

    name: str
    at: dt.datetime
    subject: str | None = None
    data: Json = dataclasses.field(default_factory=dict[str, Any])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """What happened to one object, and whom it is about."""

    happenings: tuple[Happening, ...]
    identifiers: tuple[Identifier, ...] = ()
    object: ObjectRef | None = None
    traits: Json = dataclasses.field(default_factory=dict[str, Any])
    data: Json = dataclasses.field(default_factory=dict[str, Any])


def normalised(delivery: Delivery, meant: Iterable[Meant], key: str | None) -> Normalised:
    """The facts of ``meant``, in order. ``key`` is the sender's own name for the delivery."""
    told = tuple(meant)
    facts = tuple(_facts(delivery, told))
    named = ids.distinct(*(each for one in told for each in one.identifiers))
    return Normalised(facts, named, key, tuple(delivery.warnings))


def _facts(delivery: Delivery, told: tuple[Meant, ...]) -> Iterator[Fact]:
    raw = delivery.raw
    happened = [(meant, each) for meant in told for each in meant.happenings]
    for at, (meant, happening) in enumerate(happened):
        if raw.public and not happening.name.startswith(PUBLIC):
            delivery.note(f"a public source may not state {happening.name}, left out")
            continue
        meaning = happening.subject and meaning_of(raw, happening.name, happening.subject)
        yield Fact(
            Event(
                id=event_id(raw, meaning or None, at),
                name=happening.name,
                workspace=raw.workspace,
                source=raw.source,
                source_event=delivery.topic[: ids.VALUE_MAX_CHARS] or None,
                occurred_at=happening.at,
                received_at=raw.received_at,
                identifiers=meant.identifiers,
                object=meant.object,
                traits=meant.traits,
                data=meant.data | happening.data,
                flags=Flags(
                    test=delivery.test,
                    historical=is_historical(happening.at, raw.received_at),
                    unverified=raw.public or raw.verified is not True,
                ),
            ),
            meaning or None,
        )


def ref(
    kind: str, number: str | None, version: dt.datetime | str | None = None
) -> ObjectRef | None:
    if number is None:
        return None
    return ObjectRef(
        kind, number, sortable(version) if isinstance(version, dt.datetime) else version
    )


def body_hash(raw: RawRecord) -> str:
    return hashlib.sha256(raw.body).hexdigest()


def email(body: Reader, *names: str) -> Identifier | None:
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


def phone(body: Reader, *names: str) -> Identifier | None:
    return next((p for name in names if (p := ids.phone(body.text(name))) is not None), None)


def scoped_token(raw: RawRecord, kind: str, number: str | None) -> Identifier | None:
    """A cart or checkout known by a small number of the shop's: unique in its scope alone."""
    return ids.token(kind, f"{scope_of(raw)}:{number}") if ids.usable(number) else None


def itself(raw: RawRecord, kind: str, number: str | None) -> tuple[Identifier, ...]:
    """Stands in for the contact of an order or customer that names nobody."""
    return (Identifier(ids.OBJECT, f"{kind} {scope_of(raw)} {number}"),) if number else ()


def shop_itself(raw: RawRecord) -> tuple[Identifier, ...]:
    """Whom news about the shop's products is about: one stand-in for the whole shop."""
    return (Identifier(ids.OBJECT, f"shop {scope_of(raw)}"),)


def money(value: object, currency: str | None) -> Json | None:
    amount = decimal_of(value)
    return None if amount is None else {"amount": format(amount, "f"), "currency": currency}


def present(fields: Json) -> Json:
    """Without the fields that hold nothing."""
    return {name: value for name, value in fields.items() if value is not None}


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
