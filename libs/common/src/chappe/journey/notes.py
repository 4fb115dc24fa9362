"""What its author should know of a journey or a segment that is right as it stands."""

import datetime as dt
from collections.abc import Collection, Mapping

from typing_extensions import TypeIs

from chappe.journey.conditions import Did, Max, Sum
from chappe.journey.definition import Journey, walk_steps
from chappe.journey.ids import with_ids
from chappe.journey.mentions import Kind, unknown_in
from chappe.journey.predicates import check, nodes_of
from chappe.journey.problems import did_you_mean
from chappe.journey.program import compile_program
from chappe.journey.rules import ExitWhen
from chappe.journey.segments import Segment
from chappe.journey.sense import always, never
from chappe.journey.steps import WaitForAny, WaitStep
from chappe.journey.waits import ConditionWanted, WaitForOne

ALWAYS_REMEMBERED = frozenset({"order.placed", "order.refunded"})
"""Few, and asked for most: their history is there when a journey first asks. Any other name is
remembered from the publication of the first condition on that asks for it.
"""


HISTORY_KEPT = dt.timedelta(days=400)
"""A year and the weeks around its end: "as last spring" can still be asked."""

NOTHING_KNOWN: Mapping[Kind, Collection[str]] = {}


def notes_on(journey: Journey, known: Mapping[Kind, Collection[str]] = NOTHING_KNOWN) -> list[str]:
    """Warnings, a sentence each. ``known`` are the segments and journeys that there are."""
    asked = {query.event for query in compile_program(journey).needs_history}
    return [*_about_history(asked), *_about_time(journey), *_about_names(journey, known)]


def notes_on_segment(
    segment: Segment, known: Mapping[Kind, Collection[str]] = NOTHING_KNOWN
) -> list[str]:
    """Warnings, a sentence each. ``known`` are the topics and segments that there are."""
    notes: list[str] = []
    if (reason := never(segment.rule)) is not None:
        notes.append(f"nobody can ever be in it: {reason}")
    if (reason := always(segment.rule)) is not None:
        notes.append(f"everybody is always in it: {reason}")
    for node in nodes_of(segment.rule):
        since = node.since if isinstance(node, Did | Sum | Max) else None
        if isinstance(since, dt.timedelta) and since > HISTORY_KEPT:
            notes.append(f"the history goes back {HISTORY_KEPT.days} days, not {since.days}")
    notes += _about_history({query.event for query in check(segment.rule).needs_history})
    return notes + _about_names(segment, known)


def _about_time(journey: Journey) -> list[str]:
    """Waits and exits are looked at with the contact's events; time alone makes none."""
    asked = [(f"exit[{n}]", one.when) for n, one in enumerate(journey.exit) if _is_when(one)]
    for _, step in walk_steps(with_ids(journey).steps):
        wait = step.wait if isinstance(step, WaitStep) else None
        if isinstance(wait, WaitForOne | WaitForAny):
            ways = wait.for_ if isinstance(wait, WaitForAny) else (wait.for_,)
            asked += [(step.id or "", one.when) for one in ways if _is_when(one)]
    return [
        f"{where}: what time alone changes is noticed with the contact's next event here; "
        "a segment notices it in time"
        for where, condition in asked
        if check(condition).timed
    ]


def _is_when(one: object) -> TypeIs[ExitWhen | ConditionWanted]:
    return isinstance(one, ExitWhen | ConditionWanted)


def _about_history(asked: Collection[str]) -> list[str]:
    return [
        f"{name}: its history is kept only from the first publication that asks for it on; "
        "what happened before counts as never happened"
        for name in sorted({*asked} - ALWAYS_REMEMBERED)
    ]


def _about_names(model: Journey | Segment, known: Mapping[Kind, Collection[str]]) -> list[str]:
    found = [
        f"no {one.kind} is called {one.name!r}{did_you_mean(one.name, names)}"
        for one, names in unknown_in(model, known)
    ]
    return list(dict.fromkeys(found))
