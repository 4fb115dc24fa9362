"""One contact, a hand on the clock, and everything the core asked for."""

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from chappe.clock import UTC
from chappe.events import Cancel, Decision, Event, Flags, Identifier, Send
from chappe.ids import ContactId, EventId, MessageId, SourceId, WorkspaceId
from chappe.journey import JourneySettings, Pinned, Program, compile_program, read_journey
from chappe_orchestrator.domain import (
    Call,
    Contact,
    Enrollment,
    Input,
    Journeys,
    Key,
    KeyMark,
    Profile,
    Timer,
    arrange,
    keys_wanted,
    step,
)
from chappe_orchestrator.domain.journeys import policy_of
from chappe_orchestrator.domain.merging import needs_everything
from chappe_orchestrator.domain.state import KeysWantedError
from chappe_recipes import recipe

ZOE = ContactId("c_zoe")
DEFAULT = WorkspaceId("default")
NINE = dt.datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
EMAIL = "zoe@example.com"


def program(yaml: str, version: int = 1, *, marketing: bool = True) -> Program:
    """A journey with every template it names pinned at version ``NAME@1``."""
    journey = read_journey(yaml)
    bare = compile_program(journey)
    names = {getattr(node, "template", None) for node in bare.nodes.values()} - {None}
    pinned = {str(n): Pinned(f"{n}@1", marketing=marketing, topic="offers") for n in names}
    return compile_program(journey, version=version, templates=pinned)


def small(trigger: str, steps: str, more: str = "", *, name: str = "j", **how: Any) -> Program:
    """A journey of one trigger and a few steps, in the short form of YAML."""
    text = f"schema: 1\njourney: {name}\ntrigger: {trigger}\n{more}\nsteps: {steps}\n"
    return program(text, **how)


def shipped(name: str) -> Program:
    """A recipe as it ships."""
    return program(recipe(name).journey)


class World:
    """Applies events and fires timers to one contact, storing it as JSON in between."""

    def __init__(
        self,
        *programs: Program,
        journeys: Journeys | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        policy = policy_of(JourneySettings.model_validate(settings or {}))
        self.journeys = journeys or arrange(programs, policy=policy)
        self.policy = policy
        self.now = NINE
        self.profile = msgspec.json.encode(Profile())
        self.enrollments: dict[str, bytes] = {}
        self.keys: dict[Key, KeyMark] = {}
        self.timers: set[Timer] = set()
        self.commands: list[Send | Cancel] = []
        self.decisions: list[Decision] = []
        self.facts: list[Event] = []
        self.calls: list[Call] = []
        self.dropped: list[str] = []
        self._events = 0

    # -- what happens ---------------------------------------------------------------------------

    def event(
        self,
        name: str,
        data: Mapping[str, Any] | None = None,
        *,
        email: str | None = None,
        traits: Mapping[str, Any] | None = None,
        flags: Flags | None = None,
        event_id: str | None = None,
        occurred: dt.datetime | None = None,
        received: dt.datetime | None = None,
    ) -> Event:
        """An event of this contact, now unless said otherwise; not yet applied."""
        self._events += 1
        return Event(
            id=EventId(event_id or f"e_{self._events}"),
            name=name,
            workspace=DEFAULT,
            source=SourceId("src_shop"),
            occurred_at=occurred or self.now,
            received_at=received or self.now,
            contact=ZOE,
            identifiers=(Identifier("email", email),) if email else (),
            traits=dict(traits or {}),
            data=dict(data or {}),
            flags=flags or Flags(),
        )

    def hear(self, name: str, data: Mapping[str, Any] | None = None, **more: Any) -> None:
        """An event arrives and is applied."""
        self.apply(self.event(name, data, **more))

    def meet(self, **traits: Any) -> None:
        """The contact becomes known by e-mail, and agrees to marketing."""
        consent = {"email": "subscribed"}
        self.hear("contact.updated", email=EMAIL, traits={"consent": consent, **traits})

    def advance(self, **by: float) -> None:
        """Let time pass, hop by hop to each timer."""
        self.until(self.now + dt.timedelta(**by))

    def at(self, instant: str) -> None:
        """Let time pass until this instant."""
        self.until(dt.datetime.fromisoformat(instant).astimezone(UTC))

    def publish(self, *programs: Program, paused: tuple[str, ...] = ()) -> None:
        """Other journeys from now on, beside the versions that somebody may be inside."""
        held = [*self.journeys.programs.values(), *programs]
        self.journeys = arrange(held, paused=paused, policy=self.policy)

    def pause(self, *names: str) -> None:
        """Pause these journeys, and no others."""
        self.publish(paused=names)

    def resume(self) -> None:
        """Let everybody go on whom a pause held."""
        self.publish()
        for one in self.active():
            if one.held and one.due_at is not None:
                self.apply(Timer(one.due_at, one.id, one.token))

    def until(self, end: dt.datetime) -> None:
        while due := sorted(timer for timer in self.timers if timer.due_at <= end):
            self.now = max(self.now, due[0].due_at)
            self.timers.remove(due[0])
            self.apply(due[0])
        self.now = end

    def sleep_through(self, **by: float) -> None:
        """Time passes while nobody runs; then what is due fires."""
        self.now += dt.timedelta(**by)
        for timer in sorted(timer for timer in self.timers if timer.due_at <= self.now):
            self.timers.discard(timer)
            self.apply(timer)

    def apply(self, *inputs: Input) -> None:
        more: set[Key] = set()
        while True:
            try:
                self._take_step(inputs, more)
            except KeysWantedError as wanted:
                more.add(wanted.key)
            else:
                return

    def _take_step(self, inputs: tuple[Input, ...], more: set[Key]) -> None:
        state = self._load(inputs, more)
        state, effects = step(state, inputs, now=self.now, journeys=self.journeys)
        self.profile = msgspec.json.encode(state.profile)
        for changed in [one for one in state.enrollments if one in effects.enrollments_changed]:
            self.enrollments[changed] = msgspec.json.encode(state.enrollments[changed])
        for key in effects.keys_changed:
            self.keys[key] = state.keys[key]
        self.timers -= set(effects.timers_cleared)
        self.timers |= set(effects.timers_set)
        self.commands += [c for c in effects.commands if isinstance(c, Send | Cancel)]
        self.decisions += effects.decisions
        self.facts += effects.events
        self.calls += effects.calls
        self.dropped += effects.calls_dropped

    def _load(self, inputs: tuple[Input, ...], more: Collection[Key] = ()) -> Contact:
        wanted = {
            *more,
            *(key for one in inputs for key in keys_wanted(one, self.journeys)),
        }
        whole = any(isinstance(one, Event) and needs_everything(one) for one in inputs)
        if whole:
            wanted |= self.keys.keys()
        return Contact(
            id=ZOE,
            workspace=DEFAULT,
            profile=msgspec.json.decode(self.profile, type=Profile),
            enrollments={one.id: one for one in self.standing()},
            keys={
                key: msgspec.json.decode(msgspec.json.encode(mark), type=KeyMark)
                for key, mark in self.keys.items()
                if key in wanted
            },
            read_keys=wanted,
        )

    # -- what came of it ------------------------------------------------------------------------

    def standing(self) -> list[Enrollment]:
        """All enrollments, oldest first."""
        held = [msgspec.json.decode(one, type=Enrollment) for one in self.enrollments.values()]
        return sorted(held, key=lambda one: one.entered_at)

    def active(self) -> list[Enrollment]:
        return [one for one in self.standing() if one.status == "active"]

    @property
    def sends(self) -> list[Send]:
        return [command for command in self.commands if isinstance(command, Send)]

    @property
    def cancels(self) -> list[Cancel]:
        return [command for command in self.commands if isinstance(command, Cancel)]

    @property
    def mails(self) -> list[str]:
        """The steps whose message was asked for, in order."""
        return [send.step for send in self.sends]

    def message(self, step: str) -> MessageId:
        return next(send.message for send in reversed(self.sends) if send.step == step)

    def said(self, what: str) -> list[Decision]:
        return [decision for decision in self.decisions if decision.what == what]

    def reasons(self, what: str) -> list[str | None]:
        return [decision.reason for decision in self.said(what)]
