"""Did a step id come to stand for another step? Whoever waits at it would then wait for it.

Ids that nobody wrote are counted where steps stand, so that a step put in before others moves
theirs. What is written is meant.
"""

from collections.abc import Collection, Iterator
from typing import cast

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
    old = _by_id(before)
    new = _by_id(after)
    for at, step in walk_steps(with_ids(after).steps):
        own = step.id or ""
        was, now = old.get(own), new[own]
        if at in written or was is None or was == now:
            continue
        if (there := _holder(was, new, old)) is not None:
            advice = f"write `id: {own}` there, and another id here"
            yield Problem(at, f"the id {own!r} stood for the step that is now {there!r}; {advice}")
        elif (then := _holder(now, old, new)) is not None:
            what = f"the id {own!r} stood for another step; this one was {then!r}"
            yield Problem(at, f"{what}: write `id: {then}` here")


def _by_id(journey: Journey) -> dict[str, str]:
    return {step.id or "": _bare(step) for _, step in walk_steps(with_ids(journey).steps)}


def _holder(what: str, steps: dict[str, str], others: dict[str, str]) -> str | None:
    """The id that stands for a step in one version, and does not in the other."""
    return next((i for i, held in steps.items() if held == what and others.get(i) != what), None)


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
            for name, held in cast("dict[str, object]", value).items()
            if name not in ("then", "else", "timeout")
        }
    if isinstance(value, list):
        return [_without_lists(one) for one in cast("list[object]", value)]
    return value
