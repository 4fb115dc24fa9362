"""The steps of a journey that is ready to walk: each knows where to go next."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from chappe.ids import StepId
from chappe.journey.calendar import DateRule
from chappe.journey.predicates import Check

Next: TypeAlias = StepId | None
"""The step that follows; None is the journey's end."""


@dataclass(frozen=True, slots=True)
class SendNode:
    id: StepId
    template: str
    topic: str | None
    within: dt.timedelta | None
    then: Next
    channel: Literal["email", "sms"] = "email"
    if_capped: Literal["skip", "postpone"] = "skip"
    if_quiet: Literal["skip", "postpone"] = "postpone"


@dataclass(frozen=True, slots=True)
class WaitNode:
    """``restart``: a trigger repeated for the key begins it anew."""

    id: StepId
    duration: dt.timedelta
    then: Next
    restart: bool = False


@dataclass(frozen=True, slots=True)
class WaitUntilNode:
    """``days``: 0 is Monday; empty means every day."""

    id: StepId
    at: dt.time | None
    days: frozenset[int]
    then: Next


@dataclass(frozen=True, slots=True)
class WaitDateNode:
    id: StepId
    rule: DateRule
    then: Next


@dataclass(frozen=True, slots=True)
class Alternative:
    """One of the things a wait is for: an event, or (``when``) something that must hold.

    ``of`` is the send or webhook step that the event must be about.
    """

    events: frozenset[str]
    of: StepId | None
    where: Check | None
    when: Check | None
    then: Next


@dataclass(frozen=True, slots=True)
class WaitForNode:
    id: StepId
    alternatives: tuple[Alternative, ...]
    at_most: dt.timedelta
    timeout: Next
    restart: bool = False


@dataclass(frozen=True, slots=True)
class BranchNode:
    id: StepId
    arms: tuple[tuple[Check, Next], ...]
    otherwise: Next


@dataclass(frozen=True, slots=True)
class SplitNode:
    """``variants``: name, weight and way, in the file's order."""

    id: StepId
    variants: tuple[tuple[str, float, Next], ...]
    winner: str | None


@dataclass(frozen=True, slots=True)
class UpdateNode:
    """``set_to`` holds values, ``set_from`` paths to them; a value None removes the attribute."""

    id: StepId
    set_to: Mapping[str, Any]
    set_from: Mapping[str, str]
    add_tags: tuple[str, ...]
    remove_tags: tuple[str, ...]
    score: int
    opt_out: str | None
    then: Next


@dataclass(frozen=True, slots=True)
class WebhookNode:
    id: StepId
    url: str
    method: str
    headers: Mapping[str, str]
    body: Any
    within: dt.timedelta | None
    then: Next


@dataclass(frozen=True, slots=True)
class NotifyNode:
    """Exactly one of ``email`` and ``webhook`` is set."""

    id: StepId
    email: str | None
    webhook: str | None
    subject: str | None
    text: str
    then: Next


@dataclass(frozen=True, slots=True)
class GoalNode:
    id: StepId
    goal: str
    then: Next


@dataclass(frozen=True, slots=True)
class StartJourneyNode:
    id: StepId
    journey: str
    then: Next


@dataclass(frozen=True, slots=True)
class ExitNode:
    id: StepId
    reason: str


Node: TypeAlias = (
    SendNode
    | WaitNode
    | WaitUntilNode
    | WaitDateNode
    | WaitForNode
    | BranchNode
    | SplitNode
    | UpdateNode
    | WebhookNode
    | NotifyNode
    | GoalNode
    | StartJourneyNode
    | ExitNode
)
WAITS = (WaitNode, WaitUntilNode, WaitDateNode, WaitForNode)


@dataclass(frozen=True, slots=True)
class Edge:
    """One way from step to step, for drawing. ``label`` says when it is taken."""

    source: StepId
    target: Next
    label: str | None = None


def edges(node: Node) -> tuple[Edge, ...]:
    """Every way out of a step, in the order in which they are tried."""
    match node:
        case WaitForNode(alternatives=(only,)):
            return (Edge(node.id, only.then, "then"), Edge(node.id, node.timeout, "timeout"))
        case WaitForNode():
            ways = (Edge(node.id, a.then, f"for-{n}") for n, a in enumerate(node.alternatives, 1))
            return (*ways, Edge(node.id, node.timeout, "timeout"))
        case BranchNode():
            arms = (Edge(node.id, to, f"when-{n}") for n, (_, to) in enumerate(node.arms, 1))
            return (*arms, Edge(node.id, node.otherwise, "else"))
        case SplitNode():
            return tuple(Edge(node.id, to, name) for name, _, to in node.variants)
        case ExitNode():
            return ()
        case _:
            return (Edge(node.id, node.then),)
