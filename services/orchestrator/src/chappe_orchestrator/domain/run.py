"""The one mutable thing inside a step: the contact in hand, and what is to be done about it."""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from chappe.events import Cancel, Decision, Event
from chappe.ids import EventId, MessageId, StepId
from chappe.journey import Program
from chappe_orchestrator.domain.effects import Effects, Timer
from chappe_orchestrator.domain.facts import Known
from chappe_orchestrator.domain.journeys import Journeys
from chappe_orchestrator.domain.state import Contact, Enrollment, Key, KeyMark


@dataclass(slots=True)
class Run:
    """``cause`` names the input in hand: an event's id, or an enrollment with its token."""

    contact: Contact
    journeys: Journeys
    now: dt.datetime
    effects: Effects = field(default_factory=Effects)
    cause: str = ""
    event: EventId | None = None
    _decisions: int = 0

    def take_up(self, cause: str, event: Event | None) -> None:
        """Begin with the next input."""
        self.cause = cause
        self.event = event.id if event else None
        self._decisions = 0

    def program(self, enrollment: Enrollment) -> Program | None:
        """The version the enrollment stays on."""
        return self.journeys.programs.get((enrollment.journey, enrollment.version))

    def facts(self, enrollment: Enrollment, event: dict[str, Any] | None = None) -> Known:
        """What conditions see inside the enrollment; ``event`` is the entry's unless given."""
        return Known(
            self.contact.profile,
            enrollment.event if event is None else event,
            now=self.now,
            enrollment=enrollment,
        )

    def decide(
        self,
        what: str,
        *,
        reason: str | None = None,
        program: Program | None = None,
        enrollment: Enrollment | None = None,
        step: StepId | None = None,
        message: MessageId | None = None,
        seen: dict[str, Any] | None = None,
    ) -> None:
        """Put a decision in the journal."""
        self._decisions += 1
        about = enrollment or program
        self.effects.decisions.append(
            Decision(
                id=f"{self.cause}:{self._decisions}",
                at=self.now,
                workspace=self.contact.workspace,
                contact=self.contact.id,
                what=what,
                reason=reason,
                journey=about.journey if about else None,
                version=about.version if about else None,
                enrollment=enrollment.id if enrollment else None,
                step=step,
                message=message,
                event=self.event,
                seen=seen or {},
            )
        )

    def changed(self, enrollment: Enrollment) -> None:
        self.effects.enrollments_changed.add(enrollment.id)

    def mark(self, key: Key) -> KeyMark:
        """The mark of a key, to be changed."""
        self.effects.keys_changed.add(key)
        return self.contact.keys.setdefault(key, KeyMark())

    def arm(self, enrollment: Enrollment, step: StepId, due_at: dt.datetime) -> None:
        """Stand at a wait with one timer; whatever was armed before counts no more."""
        self.disarm(enrollment)
        enrollment.token += 1
        enrollment.step = step
        enrollment.due_at = due_at
        self.effects.timers_set.append(Timer(due_at, enrollment.id, enrollment.token))
        self.changed(enrollment)

    def disarm(self, enrollment: Enrollment) -> None:
        """Forget the enrollment's timer, if it has one."""
        if enrollment.due_at is not None and not enrollment.held:
            timer = Timer(enrollment.due_at, enrollment.id, enrollment.token)
            if timer in self.effects.timers_set:
                self.effects.timers_set.remove(timer)
            else:
                self.effects.timers_cleared.append(timer)
        enrollment.due_at = None
        enrollment.held = False

    def end(self, enrollment: Enrollment, reason: str) -> None:
        """Finish an enrollment, without a word about messages still on their way."""
        self.disarm(enrollment)
        enrollment.status = "finished"
        enrollment.reason = reason
        enrollment.ended_at = self.now
        enrollment.step = None
        self.changed(enrollment)

    def take_back(self, enrollment: Enrollment, reason: str) -> None:
        """Cancel every message that was asked for and is not known to be accepted."""
        for asked in enrollment.asked:
            if asked.state != "asked":
                continue
            asked.state = "over"
            self.effects.commands.append(
                Cancel(
                    message=asked.message,
                    workspace=self.contact.workspace,
                    contact=self.contact.id,
                    reason=reason,
                    at=self.now,
                )
            )
            self.decide(
                "cancelled",
                reason=reason,
                enrollment=enrollment,
                step=asked.step,
                message=asked.message,
            )

    def active(self, journey: str | None = None) -> list[Enrollment]:
        """The enrollments still walking, in the order of their entries."""
        return [
            enrollment
            for enrollment in self.contact.enrollments.values()
            if enrollment.status == "active" and journey in (None, enrollment.journey)
        ]
