"""A journey made ready to walk: its triggers by what they listen to, its steps as a flat table."""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from chappe.ids import StepId
from chappe.journey.cadence import Cadence, QuietHours
from chappe.journey.calendar import DateRule, Quiet
from chappe.journey.conditions import All, AnyOf, Condition, Did, Not
from chappe.journey.definition import Journey, walk_steps
from chappe.journey.history import Query
from chappe.journey.ids import with_ids
from chappe.journey.linking import NO_OFFSET, Linker
from chappe.journey.nodes import Next, Node, WaitDateNode
from chappe.journey.predicates import Check, check
from chappe.journey.rules import Cooldown, ExitAt, ExitOnGoal, ExitRule, ExitWhen
from chappe.journey.steps import BranchStep, WaitForAny, WaitStep, When
from chappe.journey.triggers import (
    OnDate,
    OnEvent,
    OnInactivity,
    OnJourney,
    OnList,
    OnRequest,
    OnSegment,
    OnTag,
    Trigger,
)
from chappe.journey.waits import WaitForOne

TRIGGER_STEP = StepId("trigger")
"""The step at which a journey waits that begins by a date of its event."""

LIST_TAG = "list:"


@dataclass(frozen=True, slots=True)
class Pinned:
    """The template version that a published journey sends, with what stands on it."""

    version: str
    marketing: bool = True
    topic: str | None = None


@dataclass(frozen=True, slots=True)
class TriggerOn:
    """``channels`` are what it listens to: event names, or finer ones (``tag+vip``).

    ``requesters`` is empty unless it takes requests.
    """

    channels: frozenset[str]
    where: Check | None
    start: Next
    unverified: bool = False
    requesters: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class DateWatch:
    """Begins a journey by a date of the contact."""

    rule: DateRule
    every_year: bool
    where: Check | None

    @property
    def attribute(self) -> str:
        """The contact's attribute that holds the date."""
        return self.rule.path.split(".")[1]


@dataclass(frozen=True, slots=True)
class SilenceWatch:
    """Begins a journey when none of ``events`` has happened for ``quiet_for``."""

    events: frozenset[str]
    quiet_for: dt.timedelta
    where: Check | None


@dataclass(frozen=True, slots=True)
class EntryRules:
    """``cooldown`` is set exactly when ``again`` is ``cooldown``; ``holdout`` is a share of one."""

    filter: Check | None
    key: tuple[str, ...]
    again: Literal["once_per_key", "always", "never", "cooldown"]
    cooldown: dt.timedelta | None
    closed_for: dt.timedelta
    newest_only: bool
    at_most: int | None = None
    starts: dt.datetime | None = None
    ends: dt.datetime | None = None
    holdout: float = 0.0


@dataclass(frozen=True, slots=True)
class ExitOn:
    """``match`` holds the paths of the key in the exit event; empty: no key, every enrollment."""

    event: str
    match: tuple[str, ...]
    where: Check | None


@dataclass(frozen=True, slots=True)
class GoalOn:
    event: str
    within: dt.timedelta
    where: Check | None = None


@dataclass(frozen=True, slots=True)
class CapOn:
    """At most ``most`` marketing messages within any ``within``; of one topic, if it says so."""

    most: int
    within: dt.timedelta
    topic: str | None


@dataclass(frozen=True, slots=True)
class CadenceRules:
    """What a journey says for itself; None where its workspace decides, ``off`` for nothing."""

    quiet: Quiet | Literal["off"] | None = None
    caps: tuple[CapOn, ...] | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """One published version. ``since_entry`` are the events it counts from the entry on.

    ``event_dates`` are the fields of the event whose dates are waited for: a newer trigger of the
    same key that has one of them replaces the entry's event.
    """

    journey: str
    version: int
    triggers: tuple[TriggerOn, ...]
    watch: DateWatch | SilenceWatch | None
    entry: EntryRules
    exits: tuple[ExitOn, ...]
    exit_when: tuple[Check, ...]
    exit_on_goal: bool
    ends_at: dt.datetime | None
    goal: GoalOn | None
    cadence: CadenceRules
    start: Next
    nodes: Mapping[StepId, Node]
    templates: Mapping[str, Pinned]
    since_entry: frozenset[str]
    event_dates: frozenset[str]
    needs_history: tuple[Query, ...] = ()

    @property
    def labels(self) -> list[str]:
        """What brings people in, for drawing."""
        named = {channel for one in self.triggers for channel in one.channels}
        match self.watch:
            case DateWatch(rule=rule):
                named.add(rule.path)
            case SilenceWatch(events=events):
                named |= {f"no {event}" for event in events}
            case None:
                pass
        return sorted(named)


def compile_program(
    journey: Journey, *, version: int = 1, templates: Mapping[str, Pinned] | None = None
) -> Program:
    """Flatten a journey that has no problems (``problems_in``)."""
    journey = with_ids(journey)
    linker = Linker()
    start = linker.resolve(linker.chain(journey.steps, None))
    nodes = linker.linked()
    triggers, watch = _triggers(journey, start, nodes)
    ends = [rule.at for rule in journey.exit if isinstance(rule, ExitAt)]
    conditions = list(conditions_in(journey))
    return Program(
        journey=journey.journey,
        version=version,
        triggers=triggers,
        watch=watch,
        entry=_entry(journey),
        exits=tuple(
            ExitOn(rule.event, rule.match.any_ if rule.match else (), _check(rule.where))
            for rule in journey.exit
            if isinstance(rule, ExitRule)
        ),
        exit_when=tuple(check(rule.when) for rule in journey.exit if isinstance(rule, ExitWhen)),
        exit_on_goal=any(isinstance(rule, ExitOnGoal) for rule in journey.exit),
        ends_at=min(ends, default=None),
        goal=GoalOn(journey.goal.event, journey.goal.within, _check(journey.goal.where))
        if journey.goal
        else None,
        cadence=_cadence(journey.cadence),
        start=start,
        nodes=MappingProxyType(nodes),
        templates=MappingProxyType(dict(templates or {})),
        since_entry=frozenset(name for condition in conditions for name in _since_entry(condition)),
        event_dates=frozenset(
            node.rule.path.split(".")[1]
            for node in nodes.values()
            if isinstance(node, WaitDateNode) and node.rule.path.startswith("event.")
        ),
        needs_history=tuple(
            dict.fromkeys(query for one in conditions for query in check(one).needs_history)
        ),
    )


def _entry(journey: Journey) -> EntryRules:
    entry, again = journey.entry, journey.entry.again
    return EntryRules(
        filter=_check(entry.filter),
        key=entry.key or (),
        again="cooldown" if isinstance(again, Cooldown) else again,
        cooldown=again.cooldown if isinstance(again, Cooldown) else None,
        closed_for=entry.closed_for,
        newest_only=entry.newest_only,
        at_most=entry.at_most,
        starts=entry.starts,
        ends=entry.ends,
        holdout=float(entry.holdout or 0) / 100,
    )


def _cadence(said: Cadence) -> CadenceRules:
    quiet: Quiet | Literal["off"] | None = None
    if said.quiet_hours is not None:
        hours = said.quiet_hours
        quiet = hours.quiet() if isinstance(hours, QuietHours) else "off"
    if said.caps is None:
        return CadenceRules(quiet, None)
    if said.caps == "off":
        return CadenceRules(quiet, ())
    return CadenceRules(quiet, tuple(CapOn(c.most, c.within, c.topic) for c in said.caps))


def _triggers(
    journey: Journey, start: Next, nodes: dict[StepId, Node]
) -> tuple[tuple[TriggerOn, ...], DateWatch | SilenceWatch | None]:
    found: list[TriggerOn] = []
    watch: DateWatch | SilenceWatch | None = None
    for one in journey.trigger:
        where = _check(one.where)
        match one:
            case OnDate(of=None):
                rule = DateRule(one.date, one.offset or NO_OFFSET, one.at)
                watch = DateWatch(rule, one.every == "year", where)
            case OnInactivity(inactive=silence):
                watch = SilenceWatch(frozenset(silence.event), silence.for_, where)
            case OnDate():
                rule = DateRule(one.date, one.offset or NO_OFFSET, one.at)
                nodes[TRIGGER_STEP] = WaitDateNode(TRIGGER_STEP, rule, start)
                found.append(TriggerOn(_channels(one, journey.journey), where, TRIGGER_STEP))
            case _:
                found.append(
                    TriggerOn(
                        _channels(one, journey.journey),
                        where,
                        start,
                        unverified=isinstance(one, OnEvent) and one.unverified,
                        requesters=frozenset(one.request if isinstance(one, OnRequest) else ()),
                    )
                )
    return tuple(found), watch


def _channels(trigger: Trigger, own: str) -> frozenset[str]:
    match trigger:
        case OnEvent(event=names):
            return frozenset(names)
        case OnDate(of=names):
            return frozenset(names or ())
        case OnTag(tag=change):
            return frozenset({f"tag+{change.added}" if change.added else f"tag-{change.removed}"})
        case OnList(list=change):
            named = f"{LIST_TAG}{change.added or change.removed}"
            return frozenset({f"tag+{named}" if change.added else f"tag-{named}"})
        case OnSegment(segment=change):
            entered = change.entered
            return frozenset(
                {f"segment.entered={entered}" if entered else f"segment.left={change.left}"}
            )
        case OnRequest():
            return frozenset({f"journey.requested={own}"})
        case OnJourney(journey=change):
            started = change.started
            return frozenset(
                {f"journey.started={started}" if started else f"journey.finished={change.finished}"}
            )
        case OnInactivity():
            return frozenset()


def _check(condition: Condition | None) -> Check | None:
    return check(condition) if condition is not None else None


def conditions_in(journey: Journey) -> Iterator[Condition]:
    """Every condition that a journey asks."""
    yield from (one.where for one in journey.trigger if one.where is not None)
    if journey.entry.filter is not None:
        yield journey.entry.filter
    for rule in journey.exit:
        if isinstance(rule, ExitWhen):
            yield rule.when
        elif isinstance(rule, ExitRule) and rule.where is not None:
            yield rule.where
    if journey.goal is not None and journey.goal.where is not None:
        yield journey.goal.where
    for _, step in walk_steps(journey.steps):
        if isinstance(step, BranchStep):
            yield from (arm.when for arm in step.branch if isinstance(arm, When))
        elif isinstance(step, WaitStep) and isinstance(step.wait, WaitForOne | WaitForAny):
            yield from _wanted(step.wait)


def _wanted(wait: WaitForOne | WaitForAny) -> Iterator[Condition]:
    for one in wait.for_ if isinstance(wait.for_, tuple) else (wait.for_,):
        held: Any = getattr(one, "when", None) or getattr(one, "where", None)
        if held is not None:
            yield held


def _since_entry(condition: Condition) -> Iterator[str]:
    match condition:
        case All(all_=parts) | AnyOf(any_=parts):
            for part in parts:
                yield from _since_entry(part)
        case Not(not_=part):
            yield from _since_entry(part)
        case Did(did=name, since="entry"):
            yield name
        case _:
            pass
