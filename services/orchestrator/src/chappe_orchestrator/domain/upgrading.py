"""Somebody inside a journey changes to another version of it; and what that would do, beforehand.

A step that both versions have is stood at as before: time already spent counts, a condition is
looked at again. From a step that is no more one goes where the order says, or else to the first
step after it that is still there.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from chappe.ids import StepId
from chappe.journey import (
    BranchNode,
    ExitNode,
    Next,
    Node,
    Program,
    SendNode,
    SplitNode,
    WaitDateNode,
    WaitForNode,
    WaitNode,
    WaitUntilNode,
    next_time,
)
from chappe_orchestrator.domain.leaving import leave
from chappe_orchestrator.domain.place import Place
from chappe_orchestrator.domain.run import Run
from chappe_orchestrator.domain.state import Enrollment
from chappe_orchestrator.domain.waiting import open_way
from chappe_orchestrator.domain.walking import leaves, move_date, walk
from chappe_orchestrator.domain.zones import zone_of

Moves: TypeAlias = Mapping[StepId, Next]
"""Where those go who stand at a step that the new version does not have; None: they leave."""

Kind: TypeAlias = Literal[
    "stays", "waits_longer", "waits_shorter", "looks_again", "goes_on", "exits"
]


@dataclass(frozen=True, slots=True)
class Effect:
    """What an upgrade does to those at a step: ``to`` where they stand then, None when they leave.

    ``by`` is how much later (or, negative, earlier) a wait of fixed length ends.
    """

    step: StepId
    kind: Kind
    to: Next
    by: dt.timedelta | None = None


def foresee(old: Program, new: Program, moves: Moves) -> list[Effect]:
    """The effect on each step of the old version, in its order."""
    return [_effect(node, new, _onward(node.id, old, new, moves)) for node in old.nodes.values()]


def moves_of(old: Program, new: Program, moves: Moves) -> dict[StepId, Next]:
    """Every step that is no more, with where its people go."""
    return {step: _onward(step, old, new, moves) for step in old.nodes if step not in new.nodes}


def upgrade(run: Run, enrollment: Enrollment, to: Program, moves: Moves) -> None:
    """Change to ``to``, with its place, its timer and its messages."""
    old, step = run.program(enrollment), enrollment.step
    onward = moves.get(step) if step is not None and step not in to.nodes else step
    seen: dict[str, object] = {"from": enrollment.version, "to": to.version, "at": step}
    if onward is None or onward not in to.nodes:
        leave(run, enrollment, "step_removed", seen)
        return
    enrollment.version = to.version
    run.changed(enrollment)
    _take_over(run, enrollment, to)
    run.decide("upgraded", enrollment=enrollment, step=onward, seen=seen)
    if leaves(run, to, enrollment):
        return
    if enrollment.held:
        enrollment.step = onward
        return
    was = old.nodes.get(step) if old is not None and step is not None else None
    node = to.nodes[onward]
    if onward != step or type(was) is not type(node):
        run.disarm(enrollment)
        walk(run, to, enrollment, Place(onward, run.now))
        return
    _stay(run, to, enrollment, was, node)


def _effect(was: Node, new: Program, onward: Next) -> Effect:
    if onward is None:
        return Effect(was.id, "exits", None)
    node = new.nodes[onward]
    if onward != was.id or type(node) is not type(was):
        return Effect(was.id, "goes_on", onward)
    match was, node:
        case WaitNode(), WaitNode():
            return _by(was.id, node.duration - was.duration)
        case WaitForNode(), WaitForNode() if was.at_most != node.at_most:
            return _by(was.id, node.at_most - was.at_most)
        case (WaitForNode(), WaitForNode()) | (WaitDateNode(), WaitDateNode()):
            same = _told(was) == _told(node)
            return Effect(was.id, "stays" if same else "looks_again", onward)
        case WaitUntilNode(), WaitUntilNode():
            same = (was.at, was.days) == (node.at, node.days)
            return Effect(was.id, "stays" if same else "looks_again", onward)
        case _:
            return Effect(was.id, "stays", onward)


def _told(node: WaitForNode | WaitDateNode) -> object:
    """What such a wait waits for, wherever it leads."""
    if isinstance(node, WaitDateNode):
        return node.rule
    return [
        (one.events, one.of, one.where and one.where.condition, one.when and one.when.condition)
        for one in node.alternatives
    ]


def _by(step: StepId, by: dt.timedelta) -> Effect:
    if not by:
        return Effect(step, "stays", step)
    return Effect(step, "waits_longer" if by > dt.timedelta() else "waits_shorter", step, by)


def _onward(step: StepId, old: Program, new: Program, moves: Moves) -> Next:
    """Where those at a step stand in the new version."""
    if step in new.nodes:
        return step
    if step in moves:
        return moves[step]
    at: Next = step
    for _ in range(len(old.nodes)):
        at = _after(old.nodes[at])
        if at is None or at in new.nodes:
            break
    return at


def _after(node: Node) -> Next:
    """The step that follows when nothing special happens."""
    match node:
        case WaitForNode():
            return node.timeout
        case BranchNode():
            return node.otherwise
        case SplitNode():
            return node.variants[0][2]
        case ExitNode():
            return None
        case _:
            return node.then


def _take_over(run: Run, enrollment: Enrollment, to: Program) -> None:
    """The new version's goal, and its counts: an event it newly asks of counts from now."""
    if enrollment.goal_at is None:
        enrollment.goal_until = enrollment.entered_at + to.goal.within if to.goal else None
    for name in to.since_entry:
        counter = run.contact.profile.counters.get(name)
        if name not in enrollment.counts and counter is not None:
            enrollment.counts[name] = counter.total


def _stay(run: Run, to: Program, enrollment: Enrollment, was: Node | None, node: Node) -> None:
    due = enrollment.due_at
    match was, node:
        case SendNode(), _:
            pass  # Postponed there, and still to be tried when it was to be tried.
        case WaitNode(), WaitNode():
            if due is not None and was.duration != node.duration:
                _rearm(run, enrollment, node.id, due - was.duration + node.duration)
        case WaitForNode(), WaitForNode():
            way = open_way(run, enrollment, node)
            if way is not None:
                run.disarm(enrollment)
                run.decide("wait_over", reason="condition", enrollment=enrollment, step=node.id)
                walk(run, to, enrollment, Place(way.then, run.now))
            elif due is not None and was.at_most != node.at_most:
                _rearm(run, enrollment, node.id, due - was.at_most + node.at_most)
        case WaitUntilNode(), WaitUntilNode():
            if (was.at, was.days) != (node.at, node.days):
                until = next_time(run.now, node.at, node.days, zone_of(run, enrollment.source))
                _rearm(run, enrollment, node.id, until)
        case WaitDateNode(), WaitDateNode():
            move_date(run, to, enrollment)
        case _:
            run.disarm(enrollment)
            walk(run, to, enrollment, Place(node.id, run.now))


def _rearm(run: Run, enrollment: Enrollment, step: StepId, due: dt.datetime) -> None:
    """A wait that is over by the new measure ends now, not in the past: nothing is too late."""
    before, until = enrollment.due_at, max(due, run.now)
    run.arm(enrollment, step, until)
    seen = {"until": until.isoformat(), "before": before.isoformat() if before else None}
    run.decide("wait_changed", enrollment=enrollment, step=step, seen=seen)
