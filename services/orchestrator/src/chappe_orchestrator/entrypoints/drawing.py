"""A journey as a picture: its steps, the ways between them, and how many people stand where."""

import datetime as dt
from typing import Any

from pydantic import BaseModel

from chappe.journey import (
    BranchNode,
    ExitNode,
    Node,
    Program,
    SendNode,
    WaitForNode,
    WaitNode,
    edges,
    format_duration,
)
from chappe_orchestrator.application.ports import Counts

START = "start"
END = "end"


class GraphNode(BaseModel):
    """``kind``: trigger, send, wait, wait_for, branch, exit or end. ``people`` stand there now."""

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
    triggers = sorted(program.triggers)
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
        case SendNode(template=template, topic=topic):
            return "send", template, {"template": template, "topic": topic}
        case WaitNode(duration=duration):
            return "wait", format_duration(duration), {"duration": _iso(duration)}
        case WaitForNode(events=events, of=of, at_most=at_most):
            names = sorted(events)
            label = f"{' or '.join(names)}{f' of {of}' if of else ''}"
            return "wait_for", label, {"events": names, "of": of, "at_most": _iso(at_most)}
        case BranchNode(arms=arms):
            conditions = [
                check.condition.model_dump(mode="json", by_alias=True, exclude_unset=True)
                for check, _ in arms
            ]
            return "branch", "branch", {"when": conditions}
        case ExitNode(reason=reason):
            return "exit", reason, {"reason": reason}


def _iso(duration: dt.timedelta) -> str:
    return f"PT{int(duration.total_seconds())}S"
