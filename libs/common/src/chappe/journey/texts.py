"""The texts of a journey that may hold Liquid: of webhooks and of notices to the team."""

from collections.abc import Callable, Iterator
from typing import Any

from chappe.journey.definition import Journey, Location, walk_steps
from chappe.journey.problems import Problem
from chappe.journey.steps import NotifyStep, WebhookStep
from chappe.journey.values import as_list, as_mapping


def problems_in_texts(journey: Journey, problem_with: Callable[[str], str | None]) -> list[Problem]:
    """What ``problem_with`` says of each of them, with its place."""
    return [
        Problem(at, f"cannot be filled in: {what}")
        for at, text in _texts(journey)
        if (what := problem_with(text)) is not None
    ]


def _texts(journey: Journey) -> Iterator[tuple[Location, str]]:
    for at, step in walk_steps(journey.steps):
        if isinstance(step, WebhookStep):
            yield from _inside((*at, "webhook", "body"), step.webhook.body)
        elif isinstance(step, NotifyStep):
            yield from _inside((*at, "notify", "subject"), step.notify.subject)
            yield from _inside((*at, "notify", "text"), step.notify.text)


def _inside(at: Location, value: Any) -> Iterator[tuple[Location, str]]:
    if isinstance(value, str):
        yield at, value
    elif (items := as_list(value)) is not None:
        for index, one in enumerate(items):
            yield from _inside((*at, index), one)
    elif (mapping := as_mapping(value)) is not None:
        for name, one in mapping.items():
            yield from _inside((*at, name), one)
