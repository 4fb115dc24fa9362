"""What a fact from outside makes of a message: one verdict, whatever the order it comes in.

A bounce is final; it may follow a delivery (the receiver changed its mind), never the other way
round. Anything that only an accepted message can bring about settles a doubt.
"""

from dataclasses import dataclass
from typing import Final

from chappe_sender.domain.bounces import Kind
from chappe_sender.domain.message import State

EVIDENCE: Final = frozenset(
    {
        Kind.ACCEPTED, Kind.DELIVERED, Kind.DEFERRED, Kind.BOUNCED, Kind.REJECTED, Kind.OPENED,
        Kind.CLICKED, Kind.COMPLAINED, Kind.UNSUBSCRIBED, Kind.AUTOREPLY, Kind.REPLIED,
    }
)  # fmt: skip
"""Whoever says this has had the message."""

_ARRIVED: Final = frozenset(
    {
        Kind.DELIVERED, Kind.OPENED, Kind.CLICKED, Kind.COMPLAINED, Kind.UNSUBSCRIBED,
        Kind.AUTOREPLY, Kind.REPLIED,
    }
)  # fmt: skip
_UNSENT: Final = frozenset({State.PENDING, State.SENDING, State.CANCELLED, State.SKIPPED})
_UNSETTLED: Final = frozenset({State.IN_DOUBT, State.FAILED, State.SCHEDULED})

_EVENTS: Final = {
    Kind.DELIVERED: "email.delivered",
    Kind.DEFERRED: "email.deferred",
    Kind.BOUNCED: "email.bounced",
    Kind.REJECTED: "email.rejected",
    Kind.OPENED: "email.opened",
    Kind.CLICKED: "email.clicked",
    Kind.COMPLAINED: "email.complained",
    Kind.UNSUBSCRIBED: "email.unsubscribed",
    Kind.REPLIED: "contact.replied",
}
"""What everybody hears. ``accepted`` they know, the others tell nothing about the message."""


@dataclass(frozen=True, slots=True)
class Consequence:
    """The message's new state (None: it stays), the event to publish (None: nothing to tell),
    whether this settles a doubt, and one word for the record.
    """

    effect: str
    state: State | None = None
    event: str | None = None
    resolves: bool = False


def consequence(kind: Kind, state: State, attempts: int) -> Consequence:
    """Of one fact about a message in ``state`` that was tried ``attempts`` times."""
    if kind not in EVIDENCE:
        return Consequence("noted")
    if state in _UNSENT or (state is State.SCHEDULED and not attempts):
        # Nothing of ours went out, so it is not about what we know.
        return Consequence("not_sent")
    resolves = state in _UNSETTLED
    if state is State.BOUNCED and kind in {Kind.DELIVERED, Kind.DEFERRED, Kind.BOUNCED}:
        return Consequence("late")
    if state is State.DELIVERED and kind in {Kind.DELIVERED, Kind.DEFERRED, Kind.REJECTED}:
        return Consequence("late")
    if state is State.FAILED and kind is Kind.REJECTED:
        return Consequence("late")
    return Consequence(
        "settled" if resolves else "told",
        state=_state(kind, state),
        event=_EVENTS.get(kind),
        resolves=resolves,
    )


def _state(kind: Kind, state: State) -> State | None:
    if kind is Kind.BOUNCED:
        return State.BOUNCED
    if kind is Kind.REJECTED:
        return State.FAILED
    if kind is Kind.DELIVERED:
        return State.DELIVERED
    if state in _UNSETTLED:
        return State.DELIVERED if kind in _ARRIVED else State.ACCEPTED
    return None
