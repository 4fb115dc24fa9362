"""The engine and the reference hear and see the same, and are held beside each other."""

import datetime as dt
import itertools
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from typing_extensions import override

from chappe.events import Flags
from chappe.journey.cadence import JourneySettings
from chappe.journey.definition import Journey
from chappe_orchestrator.domain import Timer
from chappe_orchestrator.domain.effects import WATCH
from tests.unit.orchestrator.reference.grammar import ZONES, journeys, settings_of, written
from tests.unit.orchestrator.reference.one import Reference
from tests.unit.orchestrator.reference.story import Happening
from tests.unit.orchestrator.world import ZOE, World, program

UTC = dt.UTC
STARTS = (
    dt.datetime(2026, 11, 22, 9, 0, tzinfo=UTC),
    dt.datetime(2026, 10, 24, 18, 0, tzinfo=UTC),  # the night that is an hour longer
    dt.datetime(2027, 3, 27, 18, 0, tzinfo=UTC),  # the one that is an hour shorter
    dt.datetime(2027, 2, 26, 9, 0, tzinfo=UTC),
    dt.datetime(2028, 2, 27, 9, 0, tzinfo=UTC),
)
BORN = ("1990-11-23", "2000-02-29", "1985-10-25", "1988-10-24", "1979-03-28", "1991-03-27")
ORDER = {"first": -2, "second": -1}
"""Of what is due at one instant, journeys come first that are still to begin."""
WORDS = ("skipped", "trapped", "postponed")


def compiled(journey: Journey) -> Any:
    return program(journey.model_dump_json(by_alias=True, exclude_unset=True))


class Ordered(World):
    """Timers due at one instant fire in the order of the entries, as the reference has it."""

    @override
    def until(self, end: dt.datetime) -> None:
        while due := [timer for timer in self.timers if timer.due_at <= end]:
            order = {one.id: number for number, one in enumerate(self.standing())}

            def place(timer: Timer, order: dict[Any, int] = order) -> tuple[dt.datetime, int]:
                if timer.kind == WATCH:
                    return timer.due_at, ORDER[timer.subject.partition("/")[2]]
                return timer.due_at, order[timer.enrollment]

            first = min(due, key=place)
            self.now = max(self.now, first.due_at)
            self.timers.remove(first)
            self.apply(first)
        self.now = end


keys = st.sampled_from(["k1", "k2", None])
spreads = st.sampled_from([None, "T10:00:00+00:00", "T00:30:00+00:00", ""])
events = st.sampled_from(["order.placed", "order.paid", "page.viewed"])


class Beside(RuleBasedStateMachine):
    """Two journeys, one contact, and whatever may happen to it."""

    @initialize(
        first=journeys("first") | written("first"),
        second=journeys("second", "first") | written("second", begun=True),
        said=settings_of(),
        start=st.sampled_from(STARTS),
        zone=st.sampled_from([None, *ZONES]),
        born=st.sampled_from([None, *BORN]),
    )
    def publish(
        self,
        first: Journey,
        second: Journey,
        said: JourneySettings,
        start: dt.datetime,
        zone: str | None,
        born: str | None,
    ) -> None:
        told = said.model_dump(by_alias=True, mode="json", exclude_unset=True)
        self.world = Ordered(compiled(first), compiled(second), settings=told)
        self.world.now = start
        self.reference = Reference([first, second], said, ZOE, start)
        self.start = start
        self.numbers = itertools.count()
        self.stale: set[Timer] = set()
        self.paused = False
        told_too = {"timezone": zone, "born": born}
        traits = {name: value for name, value in told_too.items() if value is not None}
        self.world.meet(**traits)
        self.reference.hear(Happening("meet", "contact.updated", traits=traits))
        for name in ("page.viewed", "custom.a"):  # what most journeys begin by
            self.both(name, {"k": "k1", "n": 1, "day": self.day(2, "T10:00:00+00:00")})

    def both(
        self,
        name: str,
        data: dict[str, Any],
        *,
        traits: dict[str, Any] | None = None,
        mail: int | None = None,
        call: int | None = None,
        historical: bool = False,
        event_id: str | None = None,
    ) -> None:
        own = event_id or f"ev-{next(self.numbers)}"
        told = dict(data)
        if mail is not None:
            told |= {"message": self.world.sends[mail].message, "verdict": "human"}
        if call is not None:
            made = self.world.calls[call]
            told |= {"call": made.id, "enrollment": made.enrollment, "step": made.step}
        flags = Flags(historical=historical)
        self.world.hear(name, told, traits=traits or {}, flags=flags, event_id=own)
        self.reference.hear(Happening(own, name, data, dict(traits or {}), mail, call, historical))

    def day(self, ahead: int, clock: str | None) -> str | None:
        """A date some days from the start, with a time of day or without; None: none."""
        day = (self.start + dt.timedelta(days=ahead)).date()
        return None if clock is None else f"{day}{clock}"

    # -- what may happen --------------------------------------------------------------------------

    @rule(
        k=keys,
        n=st.integers(0, 1),
        ahead=st.integers(-1, 5),
        clock=spreads,
        historical=st.sampled_from([False] * 5 + [True]),
    )
    def trigger(
        self, k: str | None, n: int, ahead: int, clock: str | None, historical: bool
    ) -> None:
        data = {"k": k, "n": n, "day": self.day(ahead, clock)}
        self.both("custom.a", data, historical=historical)

    @rule(k=keys, n=st.integers(0, 1), hours=st.sampled_from([1, 12, 26]))
    def trigger_and_wait(self, k: str | None, n: int, hours: int) -> None:
        self.both("custom.a", {"k": k, "n": n, "day": self.day(3, "")})
        self.wait(60 * hours)

    @rule(name=events, k=keys)
    def happen(self, name: str, k: str | None) -> None:
        self.both(name, {"k": k})

    @rule(
        traits=st.sampled_from(
            [
                {"vip": True},
                {"vip": None},
                {"level": 1},
                {"level": 2},
                {"tags": ["gold"]},
                {"tags": []},
                {"timezone": "Asia/Kathmandu"},
            ]
        )
    )
    def learn(self, traits: dict[str, Any]) -> None:
        self.both("contact.updated", {}, traits=traits)

    @precondition(lambda self: self.reference.watches())
    @rule(born=st.sampled_from([None, *BORN]), historical=st.sampled_from([False] * 4 + [True]))
    def tell_birthday(self, born: str | None, historical: bool) -> None:
        self.both("contact.updated", {}, traits={"born": born}, historical=historical)

    @rule(ahead=st.integers(-1, 5), clock=spreads)
    def move(self, ahead: int, clock: str | None) -> None:
        self.both("contact.updated", {}, traits={"day": self.day(ahead, clock)})

    @precondition(lambda self: self.world.sends)
    @rule(
        which=st.integers(0, 5),
        name=st.sampled_from(["email.clicked", "email.accepted", "email.skipped"]),
    )
    def engage(self, which: int, name: str) -> None:
        mail = len(self.world.sends) - 1 - which % len(self.world.sends)
        self.both(name, {}, mail=mail)

    @precondition(lambda self: self.world.sends)
    @rule()
    def lose_the_last_mail_and_begin_again(self) -> None:
        self.both("email.skipped", {}, mail=len(self.world.sends) - 1)
        self.both("custom.a", {"k": "k2", "n": 1, "day": self.day(3, "")})

    @precondition(lambda self: self.world.calls)
    @rule(which=st.integers(0, 3), ok=st.booleans())
    def answer(self, which: int, ok: bool) -> None:
        call = len(self.world.calls) - 1 - which % len(self.world.calls)
        self.both("webhook.answered", {"answer": {"ok": ok}}, call=call)

    @rule(k=keys)
    def repeat(self, k: str | None) -> None:
        for _ in range(2):
            self.both("custom.a", {"k": k}, event_id=f"twice-{next(self.numbers) // 2}")

    @rule(minutes=st.sampled_from([0, 29, 30, 60, 300, 870, 1440, 2880, 4000]))
    def wait(self, minutes: int) -> None:
        self.stale |= self.world.timers
        end = self.world.now + dt.timedelta(minutes=minutes)
        self.world.until(end)
        self.reference.until(end)

    @rule()
    def fire_old_timers(self) -> None:
        for timer in self.stale - self.world.timers:
            self.world.apply(timer)

    @rule()
    def pause_or_resume(self) -> None:
        self.paused = not self.paused
        if self.paused:
            self.world.pause("first", "second")
            self.reference.paused = True
        else:
            self.world.resume()
            self.reference.resume()

    # -- what must be the same --------------------------------------------------------------------

    @invariant()
    def the_same_mail_was_asked_for(self) -> None:
        if not hasattr(self, "world"):
            return
        held = {one.id: one for one in self.world.standing()}
        ours = [
            (send.journey, held[send.enrollment].key, send.step, send.asked_at)
            for send in self.world.sends
        ]
        theirs = [(m.journey, m.key, m.step, m.at) for m in self.reference.mails]
        assert ours == theirs
        cancelled = sorted(cancel.message for cancel in self.world.cancels)
        assert cancelled == sorted(self.world.sends[m].message for m in self.reference.cancelled)

    @invariant()
    def what_was_not_asked_for_has_the_same_reason(self) -> None:
        if not hasattr(self, "world"):
            return
        held = {one.id: one for one in self.world.standing()}
        ours = [
            (one.what, one.journey, held[one.enrollment].key, one.step, one.reason, one.at)
            for one in self.world.decisions
            if one.what in WORDS and one.enrollment is not None and one.message != "call"
            and not (one.step or "").startswith("h")
        ]  # fmt: skip
        theirs = [
            (r.what, r.journey, r.key, r.step, r.reason, r.at) for r in self.reference.refusals
        ]
        assert ours == theirs

    @invariant()
    def the_same_calls_were_made_and_dropped(self) -> None:
        if not hasattr(self, "world"):
            return
        held = {one.id: one for one in self.world.standing()}
        ours = [(c.journey, held[c.enrollment].key, c.step, c.at) for c in self.world.calls]
        assert ours == [(c.journey, c.key, c.step, c.at) for c in self.reference.calls]
        dropped = sorted(self.world.calls[number].id for number in self.reference.dropped)
        assert sorted(self.world.dropped) == dropped

    @invariant()
    def the_same_people_stand_at_the_same_steps(self) -> None:
        if not hasattr(self, "world"):
            return
        ours = [
            (one.journey, one.key, one.held, None if one.held else (one.step, one.due_at))
            for one in self.world.active()
        ]
        theirs = [
            (
                run.journey.journey,
                run.key,
                run.held is not None,
                None
                if run.held is not None or run.stop is None
                else (run.stop.step.id, run.stop.due),
            )
            for run in self.reference.runs
            if run.active
        ]
        assert ours == theirs

    @invariant()
    def nothing_is_asked_for_twice_and_the_ended_wait_for_nothing(self) -> None:
        if not hasattr(self, "world"):
            return
        messages = [send.message for send in self.world.sends]
        assert len(messages) == len(set(messages))
        waiting = {one.id: (one.due_at, one.token) for one in self.world.active() if not one.held}
        timers = [timer for timer in self.world.timers if timer.kind != WATCH]
        armed = {timer.enrollment: (timer.due_at, timer.token) for timer in timers}
        assert len(armed) == len(timers)
        assert armed == waiting
        watches = [timer.subject for timer in self.world.timers if timer.kind == WATCH]
        assert len(watches) == len(set(watches))


class BesideCorners(Beside):
    """Journeys by hand, in nights when clocks change, of somebody born on 29 February."""

    @initialize(
        first=written("first"),
        second=written("second", begun=True),
        said=settings_of(),
        start=st.sampled_from(STARTS[1:4]),
    )
    def publish_then(
        self, first: Journey, second: Journey, said: JourneySettings, start: dt.datetime
    ) -> None:
        Beside.publish(self, first, second, said, start, "Europe/Paris", "2000-02-29")

    publish = None  # type: ignore[assignment] - begun by the one above
