"""A journey as a picture: its steps, the ways between them, and how many people stand where."""

import datetime as dt
from typing import Any

from pydantic import BaseModel

from chappe.journey import (
    BranchNode,
    Check,
    ExitNode,
    GoalNode,
    Node,
    NotifyNode,
    Program,
    SendNode,
    SplitNode,
    StartJourneyNode,
    UpdateNode,
    WaitDateNode,
    WaitForNode,
    WaitNode,
    WaitUntilNode,
    WebhookNode,
    edges,
    format_duration,
)
from chappe.journey.calendar import WEEKDAYS
from chappe_orchestrator.application.ports import Counts

START = "start"
END = "end"


class GraphNode(BaseModel):
    """``kind``: trigger, end, or what the step is called, with waits told apart: wait,
    wait_until, wait_date, wait_for. ``people`` stand there now.
    """

    id: str
    kind: str
    label: str
    people: int
    detail: dict[str, Any]


class GraphEdge(BaseModel):
    """``label`` says when the way is taken; null where there is only one."""

    source: str
    target: str
    label: str | None


class Graph(BaseModel):
    """A version of a journey, with counts of this moment. ``ended`` counts by reason."""

    journey: str
    version: int
    nodes: list[GraphNode]
    edges: list[GraphEdge]
    active: int
    held: int
    ended: dict[str, int]


def draw(program: Program, counts: Counts) -> Graph:
    """Nodes in the file's order, with the trigger before and the end behind them."""
    triggers = program.labels
    nodes = [_node(START, "trigger", " or ".join(triggers), 0, events=triggers)]
    ways = [GraphEdge(source=START, target=program.start or END, label=None)]
    for node in program.nodes.values():
        kind, label, detail = _described(node)
        nodes.append(_node(node.id, kind, label, counts.at_step.get(node.id, 0), **detail))
        ways += [
            GraphEdge(source=edge.source, target=edge.target or END, label=edge.label)
            for edge in edges(node)
        ]
    nodes.append(_node(END, "end", "end", counts.ended.get("finished", 0)))
    return Graph(
        journey=program.journey,
        version=program.version,
        nodes=nodes,
        edges=ways,
        active=counts.active,
        held=counts.held,
        ended=counts.ended,
    )


def _node(step: str, kind: str, label: str, people: int, **detail: Any) -> GraphNode:
    return GraphNode(id=step, kind=kind, label=label, people=people, detail=detail)


def _described(node: Node) -> tuple[str, str, dict[str, Any]]:
    match node:
        case SendNode(template=template, topic=topic, channel=channel):
            return "send", template, {"template": template, "topic": topic, "channel": channel}
        case WaitNode() | WaitUntilNode() | WaitDateNode() | WaitForNode():
            return _wait(node)
        case BranchNode(arms=arms):
            return "branch", "branch", {"when": [_written(check) for check, _ in arms]}
        case SplitNode(variants=variants, winner=winner):
            weights = {name: weight for name, weight, _ in variants}
            return "split", " / ".join(weights), {"weights": weights, "winner": winner}
        case ExitNode(reason=reason):
            return "exit", reason, {"reason": reason}
        case _:
            return _action(node)


def _wait(
    node: WaitNode | WaitUntilNode | WaitDateNode | WaitForNode,
) -> tuple[str, str, dict[str, Any]]:
    match node:
        case WaitNode(duration=duration):
            return "wait", format_duration(duration), {"duration": _iso(duration)}
        case WaitUntilNode(at=at, days=days):
            names = [WEEKDAYS[day] for day in sorted(days)]
            clock = at.strftime("%H:%M") if at else None
            label = " ".join([*([clock] if clock else []), *names])
            return "wait_until", label, {"until": clock, "on": names}
        case WaitDateNode(rule=rule):
            shift = int(rule.offset.total_seconds())
            clock = rule.at.strftime("%H:%M") if rule.at else None
            return "wait_date", rule.path, {"until": rule.path, "offset_s": shift, "at": clock}
        case WaitForNode(alternatives=ways, at_most=at_most):
            wanted = [
                {
                    "events": sorted(one.events),
                    "of": one.of,
                    "when": _written(one.when) if one.when else None,
                }
                for one in ways
            ]
            labels = [
                f"{' or '.join(sorted(one.events))}{f' of {one.of}' if one.of else ''}"
                if one.events
                else "condition"
                for one in ways
            ]
            return "wait_for", ", ".join(labels), {"for": wanted, "at_most": _iso(at_most)}


def _action(
    node: UpdateNode | WebhookNode | NotifyNode | GoalNode | StartJourneyNode,
) -> tuple[str, str, dict[str, Any]]:
    match node:
        case UpdateNode():
            names = [*node.set_to, *node.set_from]
            return "update", ", ".join(names) or "update", {"attributes": names}
        case WebhookNode(url=url, method=method):
            return "webhook", url, {"url": url, "method": method}
        case NotifyNode(email=email, webhook=webhook):
            return "notify", email or webhook or "", {"email": email, "webhook": webhook}
        case GoalNode(goal=goal):
            return "goal", goal, {"goal": goal}
        case StartJourneyNode(journey=journey):
            return "start_journey", journey, {"journey": journey}


def _written(check: Check) -> Any:
    return check.condition.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _iso(duration: dt.timedelta) -> str:
    return f"PT{int(duration.total_seconds())}S"
