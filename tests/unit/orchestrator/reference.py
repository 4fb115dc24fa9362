"""A second reading of the journey language, slow and plain, to hold the engine against.

It shares the definition model with the engine and nothing else: no program, no nodes, no state
documents. An enrollment is a generator that walks the written tree; time is a list of who wakes
when. It knows one contact, whose clock is UTC, and the steps that decide who gets which mail.
"""

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

from chappe.journey.conditions import Condition, Did, Not, PathsAre
from chappe.journey.definition import Journey, lists_in
from chappe.journey.rules import Cooldown, ExitRule, ExitWhen
from chappe.journey.steps import (
    BranchStep,
    Else,
    ExitStep,
    GotoStep,
    SendStep,
    SplitStep,
    Step,
    UpdateStep,
    WaitForAny,
    WaitStep,
)
from chappe.journey.triggers import OnEvent, OnTag
from chappe.journey.waits import (
    ConditionWanted,
    EventWanted,
    WaitFor,
    WaitForOne,
    WaitUntilDate,
)

DAY = dt.timedelta(days=1)
PAST = dt.timedelta(minutes=15)
MAILS = 20


@dataclass(frozen=True)
class Happening:
    """An event as the reference hears it. ``mail`` is the number of the message it is about."""

    id: str
    name: str
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    traits: dict[str, Any] = field(default_factory=dict[str, Any])
    mail: int | None = None
    historical: bool = False


@dataclass
class Stop:
    """Where an enrollment stands: until when, at which step."""

    step: WaitStep
    due: dt.datetime


Walk = Generator[Stop, "str | int", None]
"""Told, when it goes on: ``time``, ``date`` (it has passed) or the number of the open way."""


@dataclass(eq=False)
class Run:
    """One run through one journey."""

    journey: Journey
    key: str
    event: dict[str, Any]
    counts: Counter[str]
    due: dt.datetime
    walk: Walk | None = None
    stop: Stop | None = None
    held: "str | int | None" = None
    inserting: bool = False
    active: bool = True
    visits: Counter[str] = field(default_factory=Counter[str])
    asked: dict[int, tuple[str, str]] = field(default_factory=dict[int, tuple[str, str]])


@dataclass(frozen=True)
class Mail:
    journey: str
    key: str
    step: str
    visit: int
    at: dt.datetime


class Reference:
    """One contact and its journeys."""

    def __init__(self, journeys: list[Journey], contact: str, now: dt.datetime) -> None:
        self.journeys = journeys
        self.contact = contact
        self.now = now
        self.paused = False
        self.traits: dict[str, Any] = {}
        self.tags: list[str] = []
        self.counts: Counter[str] = Counter()
        self.heard: set[str] = set()
        self.clicked: set[int] = set()
        self.runs: list[Run] = []
        self.entered: dict[tuple[str, str], dt.datetime] = {}
        self.closed: dict[tuple[str, str], dt.datetime] = {}
        self.mails: list[Mail] = []
        self.cancelled: list[int] = []
        self.news: list[tuple[str, dict[str, Any], dict[str, Any]]] = []

    # -- what happens -----------------------------------------------------------------------------

    def hear(self, event: Happening) -> None:
        if event.id in self.heard:
            return
        self.heard.add(event.id)
        self._apply(event)
        self._tell_news()

    def until(self, end: dt.datetime) -> None:
        """Let time pass, waking whoever is due, one after the other."""
        while due := self._due(end):
            run = min(due, key=lambda one: (one[0], one[1]))[2]
            assert run.stop is not None
            self.now = max(self.now, run.stop.due)
            self._wake(run)
            self._tell_news()
        self.now = end

    def resume(self) -> None:
        self.paused = False
        for run in [one for one in self.runs if one.active and one.held is not None]:
            told, run.held = run.held, None
            if run.active and told is not None:
                self._go_on(run, told)
                self._tell_news()

    def _due(self, end: dt.datetime) -> list[tuple[dt.datetime, int, Run]]:
        return [
            (run.stop.due, number, run)
            for number, run in enumerate(self.runs)
            if run.active and run.held is None and run.stop is not None and run.stop.due <= end
        ]

    def _wake(self, run: Run) -> None:
        assert run.stop is not None
        due, step = run.stop.due, run.stop.step
        if self._leaves(run):
            return
        told: str | int = "time"
        run.due, run.inserting = due, False
        if isinstance(step.wait, WaitForOne | WaitForAny):
            way = self._open_way(run, step.wait)
            told = "time" if way is None else way
        elif isinstance(step.wait, WaitUntilDate):
            at = self._date(run, step.wait)
            if at is None:
                self._leave(run)
                return
            if at > self.now:
                run.stop = Stop(step, at)
                return
        self._go_on(run, told)

    def _go_on(self, run: Run, told: str | int) -> None:
        if self.paused:
            run.held, run.stop = told, run.stop
            return
        self._step(run, told)

    def _step(self, run: Run, told: str | int | None) -> None:
        assert run.walk is not None
        run.stop = None
        try:
            run.stop = next(run.walk) if told is None else run.walk.send(told)
        except StopIteration:
            run.active = False

    # -- one fact ---------------------------------------------------------------------------------

    def _apply(self, event: Happening) -> None:
        self._learn(event)
        for run in self.runs:
            if any(self._ends(rule, run, event) for rule in _exits(run.journey, event)):
                if run.active:
                    self._leave(run)
                else:
                    self._take_back(run)
        self._close(event)
        for run in self._active():
            self._leaves(run)
        if event.traits:
            for run in self._active():
                self._move(run)
        if not event.historical:
            for run in self._active():
                self._answer(run, event)
        self._enter(event)

    def _close(self, event: Happening) -> None:
        value = _key(event.data)
        for journey in self.journeys:
            if value is not None and any(rule.match for rule in _exits(journey, event)):
                self.closed[journey.journey, value] = self.now

    def _learn(self, event: Happening) -> None:
        for name, value in event.traits.items():
            if name == "tags":
                self._set_tags(list(value))
            elif event.historical and name in self.traits:
                continue
            elif value is None:
                self.traits.pop(name, None)
            else:
                self.traits[name] = value
        self.counts[event.name] += 1
        recent = event.mail is not None and event.mail >= len(self.mails) - MAILS
        if event.name == "email.clicked" and recent and event.mail is not None:
            self.clicked.add(event.mail)
        if event.name in ("email.accepted", "email.skipped") and event.mail is not None:
            for run in self.runs:
                if event.mail in run.asked:
                    state = "accepted" if event.name == "email.accepted" else "over"
                    run.asked[event.mail] = (run.asked[event.mail][0], state)

    def _set_tags(self, tags: list[str]) -> None:
        added = [tag for tag in tags if tag not in self.tags]
        removed = [tag for tag in self.tags if tag not in tags]
        self.tags = tags
        if added or removed:
            self.news.append(("contact.tags_changed", {"added": added, "removed": removed}, {}))

    def _tell_news(self) -> None:
        while self.news:
            name, data, traits = self.news.pop(0)
            self._apply(Happening("news", name, data, traits))

    # -- coming in and going out ------------------------------------------------------------------

    def _enter(self, event: Happening) -> None:
        for journey in self.journeys:
            if event.historical or self.paused or not _triggers(journey, event):
                continue
            key = _key(event.data) if journey.entry.key else self.contact
            if key is None or not self._may_enter(journey, key, event):
                continue
            if journey.entry.newest_only:
                for run in self._active(journey):
                    self._leave(run)
            run = Run(journey, key, event.data, Counter(self.counts), self.now)
            self.runs.append(run)
            self.entered[journey.journey, key] = self.now
            self.entered.setdefault((journey.journey, ""), self.now)
            run.walk = self._walk(run)
            self._step(run, None)

    def _may_enter(self, journey: Journey, key: str, event: Happening) -> bool:
        name, entry = journey.journey, journey.entry
        lasting = entry.again in ("once_per_key", "never")
        closed = self.closed.get((name, key))
        if closed is not None and (lasting or closed + entry.closed_for > self.now):
            return False
        entered = self.entered.get((name, key))
        if entered is not None and entry.again == "once_per_key":
            for run in self._active(journey):
                if run.key == key:
                    self._met_again(run, event)
            return False
        again = entry.again
        if entered and isinstance(again, Cooldown) and entered + again.cooldown > self.now:
            return False
        if entry.again == "never" and (name, "") in self.entered:
            return False
        inside = len(self._active(journey))
        return entry.newest_only or entry.at_most is None or inside < entry.at_most

    def _met_again(self, run: Run, event: Happening) -> None:
        """A newer word about a date of the event moves whoever waits for it."""
        if any(name in event.data for name in _dates_of(run.journey.steps)):
            run.event = event.data
            self._move(run)
        if run.active:
            self._restart(run)

    def _restart(self, run: Run) -> None:
        stop = run.stop
        if run.held is not None or stop is None:
            return
        wait = stop.step.wait
        if isinstance(wait, WaitFor) and wait.restart:
            run.stop = Stop(stop.step, self.now + wait.time)
        elif isinstance(wait, WaitForOne | WaitForAny) and wait.restart:
            run.stop = Stop(stop.step, self.now + wait.at_most)

    def _ends(self, rule: ExitRule, run: Run, event: Happening) -> bool:
        if rule.match is None:
            return True
        value = _key(event.data)
        return value is None or value == run.key

    def _leaves(self, run: Run) -> bool:
        if not run.active:
            return True
        rules = [rule for rule in run.journey.exit if isinstance(rule, ExitWhen)]
        if any(self._holds(rule.when, run) for rule in rules):
            self._leave(run)
            return True
        return False

    def _leave(self, run: Run) -> None:
        self._take_back(run)
        run.active, run.stop, run.held = False, None, None

    def _take_back(self, run: Run) -> None:
        for mail, (step, state) in run.asked.items():
            if state == "asked":
                run.asked[mail] = (step, "over")
                self.cancelled.append(mail)

    def _active(self, journey: Journey | None = None) -> list[Run]:
        return [
            run for run in self.runs if run.active and (journey is None or run.journey is journey)
        ]

    # -- waiting ----------------------------------------------------------------------------------

    def _answer(self, run: Run, event: Happening) -> None:
        if run.held is not None or run.stop is None or not run.active:
            return
        wait = run.stop.step.wait
        if not isinstance(wait, WaitForOne | WaitForAny):
            return
        for number, wanted in enumerate(_wanted(wait)):
            if isinstance(wanted, ConditionWanted):
                answers = self._holds(wanted.when, run)
            else:
                answers = event.name in wanted.event and (
                    wanted.of is None or event.mail == _last(run, wanted.of)
                )
                if wanted.of is not None and event.mail is None:
                    answers = False
            if answers:
                run.due, run.inserting = self.now, False
                self._go_on(run, number)
                return

    def _open_way(self, run: Run, wait: WaitForOne | WaitForAny) -> int | None:
        for number, wanted in enumerate(_wanted(wait)):
            if isinstance(wanted, ConditionWanted):
                if self._holds(wanted.when, run):
                    return number
            elif wanted.of is not None and "email.clicked" in wanted.event:
                mail = _last(run, wanted.of)
                if mail in self.clicked and mail >= len(self.mails) - MAILS:
                    return number
        return None

    def _move(self, run: Run) -> None:
        if run.held is not None or run.stop is None:
            return
        wait = run.stop.step.wait
        if not isinstance(wait, WaitUntilDate):
            return
        at = self._date(run, wait)
        if at is None:
            self._leave(run)
        elif at <= self.now:
            run.due, run.inserting = at, True
            self._go_on(run, "date")
        else:
            run.stop = Stop(run.stop.step, at)

    def _date(self, run: Run, wait: WaitUntilDate) -> dt.datetime | None:
        said = self._value(wait.until, run)
        if not isinstance(said, str):
            return None
        return dt.datetime.fromisoformat(said) + (wait.offset or dt.timedelta())

    # -- the walk ---------------------------------------------------------------------------------

    def _walk(self, run: Run) -> Walk:  # noqa: C901, PLR0912 - one arm per step
        place: list[tuple[tuple[Step, ...], int]] = [(run.journey.steps, 0)]
        while not self._leaves(run):
            while place and place[-1][1] >= len(place[-1][0]):
                place.pop()
            if not place:
                return
            steps, index = place.pop()
            place.append((steps, index + 1))
            step = steps[index]
            match step:
                case SendStep():
                    self._send(run, step)
                case BranchStep(branch=arms):
                    for arm in arms:
                        if isinstance(arm, Else):
                            place.append((arm.else_, 0))
                            break
                        if self._holds(arm.when, run):
                            place.append((arm.then, 0))
                            break
                case SplitStep():
                    place.append((self._draw(run, step), 0))
                case UpdateStep(update=what):
                    changed = {k: v for k, v in what.set.items() if self.traits.get(k) != v}
                    for name, value in changed.items():
                        if value is None:
                            self.traits.pop(name, None)
                        else:
                            self.traits[name] = value
                    if changed:
                        self.news.append(("contact.updated", {}, changed))
                    self._update_tags(what.add_tags or (), what.remove_tags or ())
                case WaitStep():
                    way = yield from self._wait(run, step)
                    if way is None:
                        return
                    place.append((way, 0))
                case GotoStep(goto=target):
                    place = _place_of(run.journey.steps, target)
                case ExitStep():
                    return
                case _:
                    raise AssertionError(step)

    def _wait(
        self, run: Run, step: WaitStep
    ) -> Generator[Stop, "str | int", tuple[Step, ...] | None]:
        base = run.due if run.inserting else self.now
        wait = step.wait
        if isinstance(wait, WaitUntilDate):
            at = self._date(run, wait)
            if at is None:
                self._leave(run)
                return None
            if at > self.now:
                told = yield Stop(step, at)
                del told
            else:
                run.due, run.inserting = at, True
            return ()
        if isinstance(wait, WaitForOne | WaitForAny):
            ways = (
                (step.then,) if isinstance(wait, WaitForOne) else tuple(p.then for p in wait.for_)
            )
            open_way = self._open_way(run, wait)
            if open_way is not None:
                return ways[open_way]
            if run.inserting and base + wait.at_most <= self.now:
                run.due = base + wait.at_most
                return step.timeout
            told = yield Stop(step, base + wait.at_most)
            return ways[told] if isinstance(told, int) else step.timeout
        length = wait.time if isinstance(wait, WaitFor) else wait
        assert isinstance(length, dt.timedelta)
        if run.inserting and base + length <= self.now:
            run.due = base + length
        else:
            yield Stop(step, base + length)
        return ()

    def _send(self, run: Run, step: SendStep) -> None:
        own = step.id or ""
        run.visits[own] += 1
        late = self.now - run.due
        if (run.inserting and late > PAST) or late > DAY:
            return
        run.asked[len(self.mails)] = (own, "asked")
        for mail in list(run.asked)[:-MAILS]:
            del run.asked[mail]
        name = run.journey.journey
        self.mails.append(Mail(name, run.key, own, run.visits[own], self.now))

    def _draw(self, run: Run, step: SplitStep) -> tuple[Step, ...]:
        parts = ("default", "split", run.journey.journey, step.id or "", self.contact)
        digest = hashlib.blake2b("\x1f".join(parts).encode(), digest_size=8).digest()
        at = int.from_bytes(digest, "big") / 2**64
        left = at * sum(one.weight for one in step.split.variants)
        for one in step.split.variants:
            left -= one.weight
            if left < 0:
                return one.then
        return step.split.variants[-1].then

    def _update_tags(self, added: tuple[str, ...], removed: tuple[str, ...]) -> None:
        tags = [*self.tags, *(tag for tag in added if tag not in self.tags)]
        self._set_tags([tag for tag in tags if tag not in removed])

    # -- conditions -------------------------------------------------------------------------------

    def _holds(self, condition: Condition, run: Run) -> bool:
        match condition:
            case Not(not_=part):
                return not self._holds(part, run)
            case Did(did=name, times=times):
                count = self.counts[name] - run.counts[name]
                return count >= (times.at_least or 0)
            case PathsAre(root=paths):
                return all(self._value(path, run) == one.is_ for path, one in paths.items())
            case _:
                raise AssertionError(condition)

    def _value(self, path: str, run: Run) -> Any:
        root, name = path.split(".")
        return (self.traits if root == "contact" else run.event).get(name)


def _key(data: dict[str, Any]) -> str | None:
    value = data.get("k")
    return value if isinstance(value, str) and value else None


def _triggers(journey: Journey, event: Happening) -> bool:
    for one in journey.trigger:
        if isinstance(one, OnEvent) and event.name in one.event:
            return True
        if isinstance(one, OnTag) and event.name == "contact.tags_changed":
            added, removed = event.data["added"], event.data["removed"]
            return one.tag.added in added or one.tag.removed in removed
    return False


def _exits(journey: Journey, event: Happening) -> list[ExitRule]:
    rules = [rule for rule in journey.exit if isinstance(rule, ExitRule)]
    return [rule for rule in rules if rule.event == event.name]


def _wanted(wait: WaitForOne | WaitForAny) -> Iterator[EventWanted | ConditionWanted]:
    yield from wait.for_ if isinstance(wait, WaitForAny) else (wait.for_,)


def _dates_of(steps: tuple[Step, ...]) -> Iterator[str]:
    for step in steps:
        if isinstance(step, WaitStep) and isinstance(step.wait, WaitUntilDate):
            root, name = step.wait.until.split(".")
            if root == "event":
                yield name
        for _, _, inner in lists_in(step):
            yield from _dates_of(inner)


def _last(run: Run, step: str) -> int:
    return max((mail for mail, (own, _) in run.asked.items() if own == step), default=-1)


def _place_of(steps: tuple[Step, ...], target: str) -> list[tuple[tuple[Step, ...], int]]:
    """Where the step called ``target`` stands: the lists it is in, with what follows in each."""
    for index, step in enumerate(steps):
        if step.id == target:
            return [(steps, index)]
        for _, _, inner in lists_in(step):
            found = _place_of(inner, target)
            if found:
                return [(steps, index + 1), *found]
    return []
