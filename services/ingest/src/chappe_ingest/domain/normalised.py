"""What one delivery means."""

import datetime as dt
from dataclasses import dataclass
from typing import Final, Protocol

from chappe.events import Event, Identifier, RawRecord
from chappe.ids import EventId, derived
from chappe_ingest.domain.links import Links

HISTORICAL_AFTER: Final = dt.timedelta(hours=72)


@dataclass(frozen=True, slots=True)
class Fact:
    """One event, not yet anybody's.

    ``meaning`` names a fact that happens once: it is kept for ever, and a second fact of the
    same meaning is a repeat. None: it may happen again.
    """

    event: Event
    meaning: str | None = None


@dataclass(frozen=True, slots=True)
class Normalised:
    """The facts of a delivery, in their order.

    ``delivery`` is the sender's own id of this delivery within its source, the same on a retry.
    ``contact`` is set when the sender named one of our ids.
    """

    facts: tuple[Fact, ...] = ()
    identifiers: tuple[Identifier, ...] = ()
    delivery: str | None = None
    warnings: tuple[str, ...] = ()
    contact: str | None = None


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
