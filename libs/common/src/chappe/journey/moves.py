"""Did a step id come to stand for another step? Whoever waits at it would then wait for it.

Ids that nobody wrote are counted where steps stand, so that a step put in before others moves
theirs. What is written is meant.
"""

from collections.abc import Collection, Iterator

import yaml

from chappe.journey.definition import Journey, Location, lists_in, walk_steps
from chappe.journey.ids import with_ids
from chappe.journey.problems import Problem
from chappe.journey.steps import Step


def written_ids(text: str, journey: Journey) -> frozenset[Location]:
    """Where in a YAML or JSON text, from which ``journey`` was read, a step says its id."""
    root = yaml.compose(text, yaml.SafeLoader)
    return frozenset(at for at, _ in walk_steps(journey.steps) if _has_id(root, at))


def moved_ids(
    before: Journey, after: Journey, written: Collection[Location] = ()
) -> Iterator[Problem]:
    """Each step of ``after`` whose unwritten id stood for another step that is still there."""
    old = {step.id: _bare(step) for _, step in walk_steps(with_ids(before).steps)}
    new = list(walk_steps(with_ids(after).steps))
    standing: dict[str, list[str]] = {}
    for _, step in new:
        standing.setdefault(_bare(step), []).append(step.id or "")
    for at, step in new:
        was = old.get(step.id)
        if at in written or was is None or was == _bare(step):
            continue
        others = [one for one in standing.get(was, ()) if old.get(one) != was]
        if others:
            advice = f"write `id: {step.id}` there, and another id here"
            yield Problem(
                at, f"the id {step.id!r} stood for the step that is now {others[0]!r}; {advice}"
            )


def _has_id(root: yaml.Node | None, at: Location) -> bool:
    node = root
    for part in at:
        if isinstance(node, yaml.MappingNode):
            node = next((held for key, held in node.value if key.value == part), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
        else:
            return False
    return isinstance(node, yaml.MappingNode) and any(key.value == "id" for key, _ in node.value)


def _bare(step: Step) -> str:
    """What a step does itself: without its id, and without the steps inside it."""
    emptied = step
    for _, where, _ in lists_in(step):
        if where[0] in ("then", "timeout"):
            emptied = emptied.model_copy(update={where[0]: ()})
    shown = emptied.model_dump(mode="json", by_alias=True, exclude={"id"}, exclude_unset=True)
    return repr(_without_lists(shown))


def _without_lists(value: object) -> object:
    """Steps inside branches, variants and paths stand under ``then`` and ``else``."""
    if isinstance(value, dict):
        return {
            name: _without_lists(held)
            for name, held in value.items()  # pyright: ignore[reportUnknownVariableType]
            if name not in ("then", "else", "timeout")
        }
    if isinstance(value, list):
        return [_without_lists(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
    return value
