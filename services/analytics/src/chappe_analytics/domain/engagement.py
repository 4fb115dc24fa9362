"""The first touch of each link and pixel becomes a fact; the rest only counts.

A machine often comes first (a scanner at delivery, Apple's proxy), so there is one fact for the
first machine and one for the first reader, each with an id derived from what it stands for: a
replay says the same thing again.
"""

from typing import NamedTuple

import msgspec

from chappe.events import Event, ObjectRef, RawEngagement
from chappe.ids import EventId, MessageId, derived
from chappe_analytics.domain.verdict import OPEN, Verdict

PIXEL = -1
"""The link number of an open."""

NAMES = {"open": "email.opened", "click": "email.clicked"}


class EngagementKey(NamedTuple):
    """What was touched."""

    message: MessageId
    kind: str
    link: int


class Engagement(msgspec.Struct):
    """How often one link or pixel was touched, by verdict."""

    human: int = 0
    unsure: int = 0
    machine: int = 0

    def count(self, verdict: Verdict) -> bool:
        """Count one touch; True when it is the first by a reader, or the first by a machine."""
        readers = self.human + self.unsure
        match verdict:
            case Verdict.HUMAN:
                self.human += 1
            case Verdict.UNSURE:
                self.unsure += 1
            case Verdict.MACHINE:
                self.machine += 1
                return self.machine == 1
        return readers == 0


def key_of(touch: RawEngagement) -> EngagementKey:
    """The link that was touched; all opens of a message are one."""
    link = PIXEL if touch.kind == OPEN or touch.link is None else touch.link
    return EngagementKey(touch.message, touch.kind, link)


def fact_of(touch: RawEngagement, verdict: Verdict) -> Event:
    """The event that the first touch becomes."""
    key = key_of(touch)
    who = "machine" if verdict is Verdict.MACHINE else "reader"
    data: dict[str, object] = {"message": touch.message, "verdict": verdict.value}
    if touch.kind != OPEN:
        data |= {"link": touch.link, "url": touch.url}
    return Event(
        id=EventId(derived("ev_", touch.workspace, key.message, key.kind, str(key.link), who)),
        name=NAMES[touch.kind],
        workspace=touch.workspace,
        occurred_at=touch.received_at,
        received_at=touch.received_at,
        contact=touch.contact,
        object=ObjectRef("message", touch.message),
        data=data,
    )
