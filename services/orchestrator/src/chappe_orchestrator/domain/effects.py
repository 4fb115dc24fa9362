"""What goes into a step besides the state, and what comes out of it."""

import datetime as dt
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import msgspec

from chappe.events import Command, Decision, Event, Snapshot
from chappe.ids import ContactId, EnrollmentId, EventId, StepId, WorkspaceId
from chappe_orchestrator.domain.state import Key

ENROLLMENT = 1
WATCH = 2


class Timer(NamedTuple):
    """A wake-up; it counts only while what it is about carries the same token.

    ``subject`` names an enrollment, or (``kind`` WATCH) a contact and a journey.
    """

    due_at: dt.datetime
    subject: str
    token: int
    kind: int = ENROLLMENT

    @property
    def enrollment(self) -> EnrollmentId:
        """The enrollment that waits."""
        return EnrollmentId(self.subject)


def watch_timer(due_at: dt.datetime, contact: ContactId, journey: str, token: int) -> Timer:
    """The timer of a contact's watch for a journey."""
    return Timer(due_at, f"{contact}/{journey}", token, WATCH)


class Recheck(NamedTuple):
    """Look whether a contact's watch for a journey is as the journey wants it now."""

    journey: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A webhook, or a notice to the team, to be made once; texts of it may be Liquid.

    ``deadline`` is when trying again makes no more sense. Exactly one of ``url`` and ``email`` is
    set; a notice expects no answer.
    """

    id: str
    enrollment: EnrollmentId
    contact: ContactId
    workspace: WorkspaceId
    journey: str
    version: int
    step: StepId
    at: dt.datetime
    deadline: dt.datetime
    method: str
    url: str | None
    email: str | None
    headers: dict[str, str]
    body: Any
    subject: str | None
    text: str | None
    notice: bool
    snapshot: Snapshot


Input: TypeAlias = Event | Timer | Recheck


class Remembered(NamedTuple):
    """A fact for the history, from which later conditions may ask more than a profile counts."""

    event: EventId
    name: str
    at: dt.datetime
    data: dict[str, Any]


class Effects(msgspec.Struct):
    """What a step wants done, in order, and which parts of the state it changed.

    ``events`` are facts to publish, flagged ``derived``.
    """

    commands: list[Command] = []
    timers_set: list[Timer] = []
    timers_cleared: list[Timer] = []
    events: list[Event] = []
    calls: list[Call] = []
    calls_dropped: list[str] = []
    decisions: list[Decision] = []
    remembered: list[Remembered] = []
    profile_changed: bool = False
    enrollments_changed: set[EnrollmentId] = set()
    keys_changed: set[Key] = set()
