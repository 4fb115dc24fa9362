"""The one mutable thing inside a step: the contact in hand, and what is to be done about it."""

import datetime as dt
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec

from chappe.events import Cancel, Decision, Event, Flags
from chappe.ids import EventId, MessageId, SourceId, StepId, derived
from chappe.journey import Program
from chappe_orchestrator.domain.effects import Effects, Timer, watch_timer
from chappe_orchestrator.domain.facts import Known, Pasts
from chappe_orchestrator.domain.journeys import Journeys
from chappe_orchestrator.domain.state import (
    Contact,
    Enrollment,
    Key,
    KeyMark,
    KeysWantedError,
    Watch,
)

DERIVED_DEPTH_MAX = 16
"""So many facts may follow from one another before the last is told but no longer applied."""


class Run(msgspec.Struct):
    """``cause`` names the input in hand: an event's id, or an enrollment with its token.

    ``known_until``: up to when everything that happened has been heard. Of an instant between it
    and now nobody can say yet whether it stands.
    """

    contact: Contact
    journeys: Journeys
    now: dt.datetime
    known_until: dt.datetime
    effects: Effects = msgspec.field(default_factory=Effects)
    cause: str = ""
    event: EventId | None = None
    source: str | None = None
    received_at: dt.datetime | None = None
    heard_until: dt.datetime | None = None
    timer_due: dt.datetime | None = None
    pending: deque[tuple[Event, int]] = msgspec.field(default_factory=deque)
    depth: int = 0
    pasts: Pasts = msgspec.field(default_factory=Pasts)
    _decisions: int = 0
    _derived: int = 0

    def take_up(self, cause: str, event: Event | None) -> None:
        """Begin with the next input."""
        self.cause = cause
        self.event = event.id if event else None
        self.source = event.source if event else None
        self.received_at = event.received_at if event else None
        self.timer_due = None
        self.depth = 0
        self._decisions = 0
        self._derived = 0

    def derive(
        self,
        name: str,
        data: dict[str, Any],
        *,
        traits: dict[str, Any] | None = None,
        publish: bool = True,
        test: bool = False,
        historical: bool = False,
    ) -> None:
        """A fact of our own, applied after the one in hand and published for others.

        Its id derives from the cause, so a replay says the same. What follows from something
        ``historical`` brings nobody into a journey either.
        """
        self._derived += 1
        event = Event(
            id=EventId(derived("e_", self.cause, "derived", str(self._derived))),
            name=name,
            workspace=self.contact.workspace,
            source=SourceId(self.source) if self.source else None,
            occurred_at=self.now,
            received_at=self.now,
            contact=self.contact.id,
            traits=traits or {},
            data=data,
            flags=Flags(derived=True, test=test, historical=historical),
        )
        if self.depth >= DERIVED_DEPTH_MAX:
            self.decide("stopped", reason="too_deep", seen={"name": name})
            return
        self.pending.append((event, self.depth + 1))
        if publish:
            self.effects.events.append(event)

    def program(self, enrollment: Enrollment) -> Program | None:
        """The version the enrollment stays on."""
        return self.journeys.programs.get((enrollment.journey, enrollment.version))

    def facts(self, enrollment: Enrollment, event: dict[str, Any] | None = None) -> Known:
        """What conditions see inside the enrollment; ``event`` is the entry's unless given."""
        return self.known(enrollment.event if event is None else event, enrollment)

    def known(self, event: Mapping[str, Any], enrollment: Enrollment | None = None) -> Known:
        """What conditions see of the contact in hand."""
        policy = self.journeys.policy
        return Known(
            self.contact.profile,
            event,
            now=self.now,
            enrollment=enrollment,
            zones=(policy.sources.get(self.source) if self.source else None, policy.zone),
            half_life=policy.score_half_life,
            pasts=self.pasts,
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
        held = self.known_mark(key) or KeyMark()
        self.effects.keys_changed.add(key)
        return self.contact.keys.setdefault(key, held)

    def known_mark(self, key: Key) -> KeyMark | None:
        """The mark of a key. Raises ``KeysWantedError`` when nobody has looked it up."""
        held, read = self.contact.keys.get(key), self.contact.read_keys
        if held is None and read is not None and key not in read:
            raise KeysWantedError(key)
        return held

    def arm(self, enrollment: Enrollment, step: StepId, due_at: dt.datetime) -> None:
        """Stand at a wait with one timer; whatever was armed before counts no more."""
        self.disarm(enrollment)
        program = self.program(enrollment)
        if program is not None and program.ends_at is not None:
            due_at = min(due_at, max(program.ends_at, self.now))
        enrollment.token += 1
        enrollment.step = step
        enrollment.due_at = due_at
        self.effects.timers_set.append(Timer(due_at, enrollment.id, enrollment.token))
        self.changed(enrollment)

    def disarm(self, enrollment: Enrollment) -> None:
        """Forget the enrollment's timer, if it has one."""
        if enrollment.due_at is not None and not enrollment.held:
            self._clear(Timer(enrollment.due_at, enrollment.id, enrollment.token))
        enrollment.due_at = None
        enrollment.held = False

    def arm_watch(self, name: str, due_at: dt.datetime, for_: str = "") -> None:
        """Set the one timer of a watch; whatever was armed before counts no more."""
        self.disarm_watch(name)
        held = self.contact.profile.watches.setdefault(name, Watch())
        held.token += 1
        held.due_at, held.for_ = due_at, for_
        timer = watch_timer(due_at, self.contact.id, name, held.token)
        self.effects.timers_set.append(timer)
        self.effects.profile_changed = True

    def disarm_watch(self, name: str) -> None:
        """Forget the watch's timer, if it has one, and what it stood for: told again later, that is
        no longer what was waited for.
        """
        held = self.contact.profile.watches.get(name)
        if held is None or held.due_at is None:
            return
        self._clear(watch_timer(held.due_at, self.contact.id, name, held.token))
        held.due_at, held.for_ = None, ""
        self.effects.profile_changed = True

    def _clear(self, timer: Timer) -> None:
        """One that this step has set is as if it had never been."""
        if timer in self.effects.timers_set:
            self.effects.timers_set.remove(timer)
        else:
            self.effects.timers_cleared.append(timer)

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
        for step, call in enrollment.calls.items():
            self.effects.calls_dropped.append(call)
            self.decide("call_dropped", reason=reason, enrollment=enrollment, step=step)
        if enrollment.calls:
            enrollment.calls = {}
            self.changed(enrollment)
        for asked in enrollment.asked:
            if asked.state != "asked":
                continue
            asked.state = "over"
            self.changed(enrollment)
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
