"""From the tree that people write to a flat table of nodes."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace

from chappe.ids import StepId
from chappe.journey.calendar import DateRule
from chappe.journey.moments import weekday_numbers
from chappe.journey.nodes import (
    Alternative,
    BranchNode,
    ExitNode,
    GoalNode,
    Next,
    Node,
    NotifyNode,
    SendNode,
    SplitNode,
    StartJourneyNode,
    UpdateNode,
    WaitDateNode,
    WaitForNode,
    WaitNode,
    WaitUntilNode,
    WebhookNode,
)
from chappe.journey.predicates import Check, check
from chappe.journey.steps import (
    BranchStep,
    Else,
    ExitStep,
    FromPath,
    GoalStep,
    GotoStep,
    NotifyStep,
    SendStep,
    SplitStep,
    StartJourneyStep,
    Step,
    UpdateStep,
    WaitForAny,
    WaitStep,
    WebhookStep,
    When,
)
from chappe.journey.waits import (
    ConditionWanted,
    EventWanted,
    WaitFor,
    WaitForOne,
    WaitUntilDate,
    WaitUntilTime,
)

NO_OFFSET = dt.timedelta()


class Linker:
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
        return {step: resolved(node, self.resolve) for step, node in reversed(self._nodes.items())}

    def _link(self, step: Step, after: Next) -> StepId:
        me = StepId(step.id or "")
        match step:
            case GotoStep(goto=target):
                self._gotos[me] = StepId(target)
            case WaitStep():
                self._nodes[me] = self._wait(me, step, after)
            case BranchStep() | SplitStep():
                self._nodes[me] = self._fork(me, step, after)
            case _:
                self._nodes[me] = _plain(me, step, after)
        return me

    def _wait(self, me: StepId, step: WaitStep, after: Next) -> Node:
        wait = step.wait
        match wait:
            case WaitUntilTime():
                return WaitUntilNode(me, wait.until, weekday_numbers(wait.on), after)
            case WaitUntilDate():
                rule = DateRule(wait.until, wait.offset or NO_OFFSET, wait.at)
                return WaitDateNode(me, rule, after)
            case WaitFor():
                return WaitNode(me, wait.time, after, wait.restart)
            case WaitForOne() | WaitForAny():
                timeout = self.chain(step.timeout, after)
                if isinstance(wait, WaitForOne):
                    ways = (_alternative(wait.for_, self.chain(step.then, after)),)
                else:
                    ways = tuple(
                        _alternative(path, self.chain(path.then, after))
                        for path in reversed(wait.for_)
                    )[::-1]
                return WaitForNode(me, ways, wait.at_most, timeout, wait.restart)
            case _:
                return WaitNode(me, wait, after)

    def _fork(self, me: StepId, step: BranchStep | SplitStep, after: Next) -> Node:
        # From the last arm to the first, so that the table reads in the file's order.
        if isinstance(step, SplitStep):
            drawn = [
                (one.variant, float(one.weight), self.chain(one.then, after))
                for one in reversed(step.split.variants)
            ][::-1]
            return SplitNode(me, tuple(drawn), step.split.winner)
        arms = step.branch
        ways = [self.chain(_steps_of(arm), after) for arm in reversed(arms)][::-1]
        tests = tuple(
            (check(arm.when), way)
            for arm, way in zip(arms, ways, strict=True)
            if isinstance(arm, When)
        )
        return BranchNode(me, tests, ways[-1] if isinstance(arms[-1], Else) else after)


def _plain(me: StepId, step: Step, after: Next) -> Node:
    match step:
        case SendStep(send=what):
            return SendNode(
                me, what.template, what.topic, what.within, after,
                what.channel, what.if_capped, what.if_quiet,
            )  # fmt: skip
        case UpdateStep(update=what):
            return UpdateNode(
                id=me,
                set_to={k: v for k, v in what.set.items() if not isinstance(v, FromPath)},
                set_from={k: v.from_ for k, v in what.set.items() if isinstance(v, FromPath)},
                add_tags=what.add_tags or (),
                remove_tags=what.remove_tags or (),
                score=what.score or 0,
                opt_out=what.opt_out,
                then=after,
            )
        case WebhookStep(webhook=what):
            return WebhookNode(
                me, what.url, what.method, what.headers, what.body, what.within, after
            )
        case NotifyStep(notify=what):
            return NotifyNode(me, what.email, what.webhook, what.subject, what.text, after)
        case GoalStep(goal=name):
            return GoalNode(me, name, after)
        case StartJourneyStep(start_journey=name):
            return StartJourneyNode(me, name, after)
        case ExitStep(exit=reason):
            return ExitNode(me, reason)
        case _:
            raise AssertionError(f"{type(step).__name__} is linked elsewhere")


def _alternative(wanted: EventWanted | ConditionWanted, then: Next) -> Alternative:
    if isinstance(wanted, ConditionWanted):
        return Alternative(frozenset(), None, None, check(wanted.when), then)
    of = StepId(wanted.of) if wanted.of else None
    where: Check | None = check(wanted.where) if wanted.where is not None else None
    return Alternative(frozenset(wanted.event), of, where, None, then)


def _steps_of(arm: When | Else) -> tuple[Step, ...]:
    return arm.then if isinstance(arm, When) else arm.else_


def resolved(node: Node, to: Callable[[Next], Next]) -> Node:
    """The same node with every way out led through ``to``."""
    match node:
        case WaitForNode():
            ways = tuple(replace(one, then=to(one.then)) for one in node.alternatives)
            return replace(node, alternatives=ways, timeout=to(node.timeout))
        case BranchNode():
            arms = tuple((condition, to(then)) for condition, then in node.arms)
            return replace(node, arms=arms, otherwise=to(node.otherwise))
        case SplitNode():
            variants = tuple((name, weight, to(then)) for name, weight, then in node.variants)
            return replace(node, variants=variants)
        case ExitNode():
            return node
        case _:
            return replace(node, then=to(node.then))
