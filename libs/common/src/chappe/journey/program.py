"""A journey made ready to walk: a flat table of nodes, each knowing where to go next."""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from chappe.ids import StepId
from chappe.journey.conditions import All, AnyOf, Condition, Did, Not
from chappe.journey.definition import (
    BranchStep,
    Cooldown,
    Else,
    ExitStep,
    GotoStep,
    Journey,
    SendStep,
    Step,
    WaitForEvent,
    WaitStep,
    When,
)
from chappe.journey.ids import with_ids
from chappe.journey.predicates import Check, check

Next: TypeAlias = StepId | None
"""The step that follows; None is the journey's end."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """The template version that a published journey sends, with what stands on it."""

    version: str
    marketing: bool = True
    topic: str | None = None


@dataclass(frozen=True, slots=True)
class SendNode:
    id: StepId
    template: str
    topic: str | None
    within: dt.timedelta | None
    then: Next


@dataclass(frozen=True, slots=True)
class WaitNode:
    id: StepId
    duration: dt.timedelta
    then: Next


@dataclass(frozen=True, slots=True)
class WaitForNode:
    """``of`` is the send step whose message the event must be about."""

    id: StepId
    events: frozenset[str]
    of: StepId | None
    where: Check | None
    at_most: dt.timedelta
    then: Next
    timeout: Next


@dataclass(frozen=True, slots=True)
class BranchNode:
    id: StepId
    arms: tuple[tuple[Check, Next], ...]
    otherwise: Next


@dataclass(frozen=True, slots=True)
class ExitNode:
    id: StepId
    reason: str


Node: TypeAlias = SendNode | WaitNode | WaitForNode | BranchNode | ExitNode


@dataclass(frozen=True, slots=True)
class EntryRules:
    """``cooldown`` is set exactly when ``again`` is ``cooldown``."""

    filter: Check | None
    key: tuple[str, ...]
    again: Literal["once_per_key", "always", "never", "cooldown"]
    cooldown: dt.timedelta | None
    closed_for: dt.timedelta
    newest_only: bool


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


@dataclass(frozen=True, slots=True)
class Program:
    """One published version. ``since_entry`` are the events it counts from the entry on."""

    journey: str
    version: int
    triggers: frozenset[str]
    where: Check | None
    entry: EntryRules
    exits: tuple[ExitOn, ...]
    goal: GoalOn | None
    start: Next
    nodes: Mapping[StepId, Node]
    templates: Mapping[str, Pinned]
    since_entry: frozenset[str]


@dataclass(frozen=True, slots=True)
class Edge:
    """One way from step to step, for drawing. ``label`` says when it is taken."""

    source: StepId
    target: Next
    label: str | None = None


def compile_program(
    journey: Journey, *, version: int = 1, templates: Mapping[str, Pinned] | None = None
) -> Program:
    """Flatten a journey that has no problems (``problems_in``)."""
    journey = with_ids(journey)
    linker = _Linker()
    start = linker.chain(journey.steps, None)
    again = journey.entry.again
    return Program(
        journey=journey.journey,
        version=version,
        triggers=frozenset(journey.trigger.event),
        where=_check(journey.trigger.where),
        entry=EntryRules(
            filter=_check(journey.entry.filter),
            key=journey.entry.key or (),
            again="cooldown" if isinstance(again, Cooldown) else again,
            cooldown=again.cooldown if isinstance(again, Cooldown) else None,
            closed_for=journey.entry.closed_for,
            newest_only=journey.entry.newest_only,
        ),
        exits=tuple(
            ExitOn(rule.event, rule.match.any_ if rule.match else (), _check(rule.where))
            for rule in journey.exit
        ),
        goal=GoalOn(journey.goal.event, journey.goal.within) if journey.goal else None,
        start=linker.resolve(start),
        nodes=MappingProxyType(linker.linked()),
        templates=MappingProxyType(dict(templates or {})),
        since_entry=frozenset(
            name for condition in _conditions(journey) for name in _since_entry(condition)
        ),
    )


def edges(node: Node) -> tuple[Edge, ...]:
    """Every way out of a step, in the order in which they are tried."""
    match node:
        case SendNode() | WaitNode():
            return (Edge(node.id, node.then),)
        case WaitForNode():
            return (Edge(node.id, node.then, "then"), Edge(node.id, node.timeout, "timeout"))
        case BranchNode():
            arms = (Edge(node.id, to, f"when-{n}") for n, (_, to) in enumerate(node.arms, 1))
            return (*arms, Edge(node.id, node.otherwise, "else"))
        case ExitNode():
            return ()


class _Linker:
    """Walks the tree from the end, so that every step already knows what follows it.

    A goto is no node: whoever leads to it is sent on to its target.
    """

    def __init__(self) -> None:
        self._nodes: dict[StepId, Node] = {}
        self._gotos: dict[StepId, StepId] = {}

    def chain(self, steps: tuple[Step, ...], after: Next) -> Next:
        for step in reversed(steps):
            after = self._link(step, after)
        return after

    def resolve(self, step: Next) -> Next:
        """Follow gotos. A ring of them has been refused before."""
        while step is not None and step in self._gotos:
            step = self._gotos[step]
        return step

    def linked(self) -> dict[StepId, Node]:
        return {step: self._resolved(node) for step, node in reversed(self._nodes.items())}

    def _link(self, step: Step, after: Next) -> StepId:
        me = StepId(step.id or "")
        match step:
            case SendStep(send=what):
                self._nodes[me] = SendNode(me, what.template, what.topic, what.within, after)
            case WaitStep():
                self._nodes[me] = self._wait(me, step, after)
            case BranchStep(branch=arms):
                # From the last arm to the first, so that the table reads in the file's order.
                ways = [self.chain(_steps_of(arm), after) for arm in reversed(arms)][::-1]
                self._nodes[me] = BranchNode(
                    me,
                    tuple(
                        (check(arm.when), way)
                        for arm, way in zip(arms, ways, strict=True)
                        if isinstance(arm, When)
                    ),
                    ways[-1] if isinstance(arms[-1], Else) else after,
                )
            case ExitStep(exit=reason):
                self._nodes[me] = ExitNode(me, reason)
            case GotoStep(goto=target):
                self._gotos[me] = StepId(target)
        return me

    def _wait(self, me: StepId, step: WaitStep, after: Next) -> WaitNode | WaitForNode:
        wait = step.wait
        if not isinstance(wait, WaitForEvent):
            return WaitNode(me, wait, after)
        timeout = self.chain(step.timeout, after)
        return WaitForNode(
            me,
            frozenset(wait.for_.event),
            StepId(wait.for_.of) if wait.for_.of else None,
            _check(wait.for_.where),
            wait.at_most,
            self.chain(step.then, after),
            timeout,
        )

    def _resolved(self, node: Node) -> Node:
        to = self.resolve
        match node:
            case SendNode():
                return SendNode(node.id, node.template, node.topic, node.within, to(node.then))
            case WaitNode():
                return WaitNode(node.id, node.duration, to(node.then))
            case WaitForNode():
                return WaitForNode(
                    node.id,
                    node.events,
                    node.of,
                    node.where,
                    node.at_most,
                    to(node.then),
                    to(node.timeout),
                )
            case BranchNode():
                arms = tuple((condition, to(then)) for condition, then in node.arms)
                return BranchNode(node.id, arms, to(node.otherwise))
            case ExitNode():
                return node


def _steps_of(arm: When | Else) -> tuple[Step, ...]:
    return arm.then if isinstance(arm, When) else arm.else_


def _check(condition: Condition | None) -> Check | None:
    return check(condition) if condition is not None else None


def _conditions(journey: Journey) -> Iterator[Condition]:
    yield from (c for c in (journey.trigger.where, journey.entry.filter) if c)
    yield from (rule.where for rule in journey.exit if rule.where)
    yield from _conditions_of(journey.steps)


def _conditions_of(steps: tuple[Step, ...]) -> Iterator[Condition]:
    for step in steps:
        match step:
            case WaitStep(wait=wait, then=then, timeout=timeout):
                if isinstance(wait, WaitForEvent) and wait.for_.where:
                    yield wait.for_.where
                yield from _conditions_of(then + timeout)
            case BranchStep(branch=arms):
                for arm in arms:
                    if isinstance(arm, When):
                        yield arm.when
                    yield from _conditions_of(_steps_of(arm))
            case SendStep() | ExitStep() | GotoStep():
                pass


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
