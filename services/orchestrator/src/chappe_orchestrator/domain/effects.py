"""What goes into a step besides the state, and what comes out of it."""

import datetime as dt
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from chappe.events import Command, Decision, Event
from chappe.ids import EnrollmentId
from chappe_orchestrator.domain.state import Key


class Timer(NamedTuple):
    """A wake-up for an enrollment; it counts only while the enrollment carries the same token."""

    due_at: dt.datetime
    enrollment: EnrollmentId
    token: int


Input: TypeAlias = Event | Timer


@dataclass(slots=True)
class Effects:
    """What a step wants done, in order, and which parts of the state it changed.

    ``events`` are facts to publish, flagged ``derived``.
    """

    commands: list[Command] = field(default_factory=list[Command])
    timers_set: list[Timer] = field(default_factory=list[Timer])
    timers_cleared: list[Timer] = field(default_factory=list[Timer])
    events: list[Event] = field(default_factory=list[Event])
    decisions: list[Decision] = field(default_factory=list[Decision])
    profile_changed: bool = False
    enrollments_changed: set[EnrollmentId] = field(default_factory=set[EnrollmentId])
    keys_changed: set[Key] = field(default_factory=set[Key])
