"""A journey as it is written: trigger, entry rules, exit rules, goal, steps."""

from collections.abc import Iterator
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from chappe.journey.cadence import Cadence
from chappe.journey.rules import Entry, Exit, Goal
from chappe.journey.steps import BranchStep, SplitStep, Step, WaitForAny, WaitStep, When
from chappe.journey.triggers import Triggers
from chappe.journey.values import FILLED, Name, Strict, Title

STEPS_MAX = 500
DEPTH_MAX = 16


class Journey(Strict):
    """Trigger, entry rules, exit rules and steps; immutable once published as a version."""

    schema_: Literal[1] = Field(alias="schema")
    journey: Name
    title: Title = Field(default_factory=dict[str, str])
    trigger: Triggers
    entry: Entry = Entry()
    exit: tuple[Exit, ...] = ()
    goal: Goal | None = None
    cadence: Cadence = Cadence()
    steps: Annotated[tuple[Step, ...], FILLED]


Location: TypeAlias = tuple[str | int, ...]
"""Where something stands in a journey file: keys and indexes from the root."""


def lists_in(step: Step) -> Iterator[tuple[str, Location, tuple[Step, ...]]]:
    """The step lists inside ``step``: a name for each, where it stands, and its steps."""
    match step:
        case WaitStep(wait=wait, then=then, timeout=timeout):
            if isinstance(wait, WaitForAny):
                for at, path in enumerate(wait.for_):
                    yield f"for-{at + 1}", ("wait", "for", at, "then"), path.then
            yield "then", ("then",), then
            yield "timeout", ("timeout",), timeout
        case BranchStep(branch=arms):
            for at, arm in enumerate(arms):
                if isinstance(arm, When):
                    yield f"when-{at + 1}", ("branch", at, "then"), arm.then
                else:
                    yield "else", ("branch", at, "else"), arm.else_
        case SplitStep(split=split):
            for at, one in enumerate(split.variants):
                yield one.variant, ("split", "variants", at, "then"), one.then
        case _:
            pass


def walk_steps(
    steps: tuple[Step, ...], at: Location = ("steps",)
) -> Iterator[tuple[Location, Step]]:
    """Every step with its place, a step before those inside it."""
    for index, step in enumerate(steps):
        here = (*at, index)
        yield here, step
        for _, where, inner in lists_in(step):
            yield from walk_steps(inner, (*here, *where))
