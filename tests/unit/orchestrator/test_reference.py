"""The engine against a second reading of the language: the same mail, whatever happens when."""

import ast
import datetime as dt
import itertools
import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from typing_extensions import override

from chappe.events import Flags
from chappe.journey import Journey, JourneyInvalidError, read_journey
from chappe_orchestrator.domain import Timer
from tests.unit.orchestrator.reference import Happening, Reference
from tests.unit.orchestrator.world import NINE, ZOE, World, program

SHARED = {
    "chappe.journey.conditions", "chappe.journey.definition", "chappe.journey.rules",
    "chappe.journey.steps", "chappe.journey.triggers", "chappe.journey.waits",
}  # fmt: skip


def test_the_reference_shares_the_definition_model_and_nothing_else() -> None:
    tree = ast.parse((Path(__file__).parent / "reference.py").read_text("utf-8"))
    named = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    named |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert {name for name in named if name and name.startswith("chappe")} == SHARED


# -- journeys drawn at random -------------------------------------------------------------------

SPANS = ("30m", "1h", "5h", "1d", "2d")
VIP = {"contact.vip": True}
CONDITIONS: list[dict[str, Any]] = [
    VIP, {"not": VIP}, {"contact.level": 2}, {"event.n": 1},
    {"did": "order.paid", "since": "entry"},
    {"did": "page.viewed", "times": {"at_least": 2}, "since": "entry"},
]  # fmt: skip
conditions = st.sampled_from(CONDITIONS)
spans = st.sampled_from(SPANS)


@st.composite
def journeys(draw: st.DrawFn, name: str = "j") -> Journey:  # noqa: C901, PLR0915 - a grammar
    """A journey that publishing would accept."""
    numbers = itertools.count(1)
    sends: list[str] = []

    def wanted() -> dict[str, Any]:
        kinds = ["event", "when", *(["of"] if sends else [])]
        match draw(st.sampled_from(kinds)):
            case "event":
                return {"event": draw(st.sampled_from(["order.paid", "page.viewed"]))}
            case "of":
                return {"event": "email.clicked", "of": draw(st.sampled_from(sends))}
            case _:
                return {"when": draw(conditions)}

    def step(depth: int) -> dict[str, Any]:
        kinds = ["send"] * 4 + ["wait"] * 3 + ["restart", "date", "update", "exit", "goto"]
        if depth < 2:
            kinds += ["for", "for", "any", "branch", "split"]
        kind = draw(st.sampled_from(kinds))
        number = next(numbers)
        match kind:
            case "send":
                sends.append(f"t{number}")
                return {"send": {"template": f"t{number}"}}
            case "wait":
                return {"wait": draw(spans)}
            case "restart":
                return {"wait": {"time": draw(spans), "restart": True}}
            case "date":
                wait: dict[str, Any] = {
                    "until": draw(st.sampled_from(["contact.day", "event.day"]))
                }
                offset = draw(st.sampled_from([None, "-1d", "1d"]))
                return {"wait": wait | ({"offset": offset} if offset else {})}
            case "update":
                choices: list[dict[str, Any]] = [
                    {"set": {"vip": True}}, {"set": {"level": 2, "vip": None}},
                    {"add_tags": "gold"}, {"remove_tags": "gold"},
                ]  # fmt: skip
                return {"update": draw(st.sampled_from(choices))}
            case "exit":
                return {"exit": "done"}
            case "goto":
                return {"goto": draw(st.sampled_from(sends))} if sends else {"wait": "1h"}
            case "for":
                restart = draw(st.booleans())
                what = {"for": wanted(), "at_most": draw(spans), "restart": restart}
                return {"wait": what, "then": steps(depth + 1), "timeout": steps(depth + 1)}
            case "any":
                ways = [
                    wanted() | {"then": steps(depth + 1)} for _ in range(draw(st.integers(1, 3)))
                ]
                return {"wait": {"for": ways, "at_most": draw(spans)}, "timeout": steps(depth + 1)}
            case "branch":
                arms: list[dict[str, Any]] = [
                    {"when": draw(conditions), "then": steps(depth + 1)}
                    for _ in range(draw(st.integers(1, 2)))
                ]
                return {
                    "branch": [
                        *arms,
                        *([{"else": steps(depth + 1)}] if draw(st.booleans()) else []),
                    ]
                }
            case _:
                weights = draw(st.lists(st.integers(1, 3), min_size=2, max_size=3))
                return {"split": [
                    {"variant": f"v{n}", "weight": weight, "then": steps(depth + 1)}
                    for n, weight in enumerate(weights)
                ]}  # fmt: skip

    def steps(depth: int, least: int = 0) -> list[dict[str, Any]]:
        return [step(depth) for _ in range(draw(st.integers(least, 5 if depth == 0 else 2)))]

    again = st.sampled_from(["once_per_key", "always", "never", {"cooldown": "1d"}])
    entry: dict[str, Any] = {"again": draw(again)}
    exits: list[dict[str, Any]] = []
    if draw(st.booleans()):
        entry |= {"key": "event.k", "newest_only": draw(st.booleans())}
        exits = [{"event": "order.placed", "match": {"event.k": "entry.key"}}]
    if draw(st.booleans()):
        entry["at_most"] = draw(st.integers(1, 2))
    exits += draw(
        st.sampled_from([[], [{"event": "order.paid"}], [{"when": {"contact.level": 2}}]])
    )
    trigger: Any = {"event": "custom.a"}
    if draw(st.booleans()):
        trigger = [trigger, {"tag": draw(st.sampled_from(["gold", {"removed": "gold"}]))}]
        entry.pop("key", None)
        entry.pop("newest_only", None)
        exits = [one for one in exits if "match" not in one]
    text = json.dumps(
        {"schema": 1, "journey": name, "trigger": trigger, "entry": entry, "exit": exits,
         "steps": steps(0, 2)}
    )  # fmt: skip
    try:
        return read_journey(text)
    except JourneyInvalidError:
        assume(condition=False)
        raise


def compiled(journey: Journey) -> Any:
    return program(journey.model_dump_json(by_alias=True, exclude_unset=True))


class Ordered(World):
    """Timers due at one instant fire in the order of the entries, as the reference has it."""

    @override
    def until(self, end: dt.datetime) -> None:
        while True:
            order = {one.id: number for number, one in enumerate(self.standing())}
            due = [timer for timer in self.timers if timer.due_at <= end]
            if not due:
                break
            first = min(due, key=lambda timer: (timer.due_at, order[timer.enrollment]))
            self.now = max(self.now, first.due_at)
            self.timers.remove(first)
            self.apply(first)
        self.now = end


keys = st.sampled_from(["k1", "k2", None])
days = st.sampled_from([None, *(f"2026-11-{day}T10:00:00+00:00" for day in range(21, 28))])


class Beside(RuleBasedStateMachine):
    """The engine and the reference hear and see the same."""

    @initialize(first=journeys("first"), second=journeys("second"))
    def publish(self, first: Journey, second: Journey) -> None:
        self.world = Ordered(compiled(first), compiled(second))
        self.reference = Reference([first, second], ZOE, NINE)
        self.numbers = itertools.count()
        self.stale: set[Timer] = set()
        self.paused = False
        self.world.meet()
        self.reference.hear(Happening("meet", "contact.updated"))

    def both(
        self,
        name: str,
        data: dict[str, Any],
        *,
        traits: dict[str, Any] | None = None,
        mail: int | None = None,
        historical: bool = False,
        event_id: str | None = None,
    ) -> None:
        own = event_id or f"ev-{next(self.numbers)}"
        told = dict(data)
        if mail is not None:
            told |= {"message": self.world.sends[mail].message, "verdict": "human"}
        flags = Flags(historical=historical)
        self.world.hear(name, told, traits=traits or {}, flags=flags, event_id=own)
        self.reference.hear(Happening(own, name, data, dict(traits or {}), mail, historical))

    @rule(k=keys, n=st.integers(0, 1), day=days, historical=st.sampled_from([False] * 5 + [True]))
    def trigger(self, k: str | None, n: int, day: str | None, historical: bool) -> None:
        self.both("custom.a", {"k": k, "n": n, "day": day}, historical=historical)

    @rule(name=st.sampled_from(["order.placed", "order.paid", "page.viewed"]), k=keys)
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
            ]
        )
    )
    def learn(self, traits: dict[str, Any]) -> None:
        self.both("contact.updated", {}, traits=traits)

    @rule(day=days)
    def move(self, day: str | None) -> None:
        self.both("contact.updated", {}, traits={"day": day})

    @precondition(lambda self: self.world.sends)
    @rule(
        which=st.integers(0, 5),
        name=st.sampled_from(["email.clicked", "email.accepted", "email.skipped"]),
    )
    def engage(self, which: int, name: str) -> None:
        mail = len(self.world.sends) - 1 - which % len(self.world.sends)
        self.both(name, {}, mail=mail)

    @rule(k=keys)
    def repeat(self, k: str | None) -> None:
        for _ in range(2):
            self.both("custom.a", {"k": k}, event_id=f"twice-{next(self.numbers) // 2}")

    @rule(minutes=st.sampled_from([0, 29, 30, 60, 300, 1440, 2880, 4000]))
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
        armed = {timer.enrollment: (timer.due_at, timer.token) for timer in self.world.timers}
        assert len(armed) == len(self.world.timers)
        assert armed == waiting


TestBeside = Beside.TestCase
TestBeside.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[
        HealthCheck.filter_too_much,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
