"""What one delivery means."""

import datetime as dt
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from chappe.events import Event, Identifier, RawRecord
from chappe.ids import EventId, derived
from chappe_ingest.domain.links import Links

HISTORICAL_AFTER: Final = dt.timedelta(hours=72)

PAUSE_SOURCE: Final = "pause_source"
ALARM: Final = "alarm"
ERASE_SHOP: Final = "erase_shop"


class Fact(msgspec.Struct, frozen=True):
    """One event, not yet anybody's.

    ``meaning`` names a fact that happens once: it is kept for ever, and a second fact of the
    same meaning is a repeat. None: it may happen again.
    """

    event: Event
    meaning: str | None = None


@dataclass(frozen=True, slots=True)
class Effect:
    """Something to do about the source itself: one of the three names above, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Hydration:
    """What to ask the vendor's API for: ``path`` below the store's own address, from our settings.

    ``content`` is a JSON body, for an API that is searched by POST. The delivery's facts are what
    can be said without the answer, for a source that has no API token and for a thing that is
    gone; with an answer, the kind's ``hydrated`` takes their place.
    """

    path: str
    content: str | None = None


@dataclass(frozen=True, slots=True)
class Normalised:
    """The facts of a delivery, in their order, and what it asks of us beside them.

    ``delivery`` is the sender's own id of this delivery within its source, the same on a retry.
    ``contact`` is set when the sender named one of our ids.
    """

    facts: tuple[Fact, ...] = ()
    identifiers: tuple[Identifier, ...] = ()
    delivery: str | None = None
    warnings: tuple[str, ...] = ()
    contact: str | None = None
    effects: tuple[Effect, ...] = ()
    hydration: Hydration | None = None


class Normaliser(Protocol):
    """Understands one kind of source. Pure. Raises ``Unreadable`` on what is no such delivery."""

    def __call__(self, raw: RawRecord, links: Links) -> Normalised: ...


def scope_of(raw: RawRecord) -> str:
    """Whose numbers these are: the shop's namespace, which its sources may share, or the source."""
    return raw.namespace or raw.source


def meaning_of(raw: RawRecord, name: str, subject: str) -> str:
    return f"{name} {scope_of(raw)} {subject}"


def event_id(raw: RawRecord, meaning: str | None, at: int) -> EventId:
    """The same for a replay of the same delivery, and for another delivery of the same meaning."""
    if meaning is not None:
        return EventId(derived("e_", raw.workspace, meaning))
    return EventId(derived("e_", raw.id, str(at)))


def is_historical(occurred_at: dt.datetime, received_at: dt.datetime) -> bool:
    return received_at - occurred_at > HISTORICAL_AFTER
