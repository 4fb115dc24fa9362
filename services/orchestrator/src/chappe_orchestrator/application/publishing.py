"""Take journeys as people write them; publish them all, or say everything that is wrong."""

import asyncio
import datetime as dt
import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from chappe.ids import WorkspaceId
from chappe.journey import (
    Complaint,
    Journey,
    JourneyInvalidError,
    SendNode,
    canonical_json,
    circles_between,
    compile_program,
    read_journey,
)
from chappe_orchestrator.application.library import PinnedTemplate
from chappe_orchestrator.application.ports import JourneyShelf, NewVersion, Published
from chappe_orchestrator.application.texts import problem_with

JOURNEYS_MAX = 200


@dataclass(frozen=True, slots=True)
class Written:
    """One journey as it came: a text under a file name, or a definition as JSON."""

    file: str
    text: str


def written(file: str, *, yaml: str | None, definition: Mapping[str, Any] | None) -> Written:
    """A journey in either form. JSON is YAML too, so one reader serves."""
    if yaml is not None:
        return Written(file, yaml)
    return Written(
        file, json.dumps(definition if definition is not None else {}, ensure_ascii=False)
    )


async def read_all(
    sources: Sequence[Written], templates: Collection[str] | None
) -> tuple[list[Journey], list[Complaint]]:
    """Every journey that can be read, and every complaint about the others.

    Beside the event loop: a large file takes a second to read.
    """
    return await asyncio.to_thread(_read_all, sources, templates)


def _read_all(
    sources: Sequence[Written], templates: Collection[str] | None
) -> tuple[list[Journey], list[Complaint]]:
    journeys: list[Journey] = []
    complaints: list[Complaint] = []
    seen: dict[str, str] = {}
    for source in sources:
        try:
            journey = read_journey(
                source.text, file=source.file, templates=templates, problem_with=problem_with
            )
        except JourneyInvalidError as error:
            complaints += error.complaints
            continue
        if journey.journey in seen:
            what = f"{journey.journey!r} stands in {seen[journey.journey]} already"
            complaints.append(Complaint(source.file, 1, 1, "journey", what))
        seen[journey.journey] = source.file
        journeys.append(journey)
    for name, problem in circles_between(journeys):
        where = ".".join(str(part) for part in problem.at)
        complaints.append(Complaint(seen[name], 1, 1, where, problem.what))
    return journeys, complaints


def pin(journey: Journey, templates: Mapping[str, PinnedTemplate]) -> NewVersion:
    """A journey with the template versions it uses, and no others."""
    nodes = compile_program(journey).nodes.values()
    used = sorted({node.template for node in nodes if isinstance(node, SendNode)})
    pinned = {name: templates[name] for name in used}
    return NewVersion(
        journey=journey.journey,
        definition=canonical_json(journey),
        templates=msgspec.json.encode(pinned, order="deterministic"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishJourneys:
    """Validate, pin, store: all or nothing. ``moved`` finds unwritten step ids that would come to
    stand for other steps of a live journey.
    """

    shelf: JourneyShelf
    moved: Callable[[WorkspaceId, Sequence[Written], Sequence[Journey]], Awaitable[list[Complaint]]]

    async def __call__(
        self,
        workspace: WorkspaceId,
        sources: Sequence[Written],
        templates: Mapping[str, PinnedTemplate],
        at: dt.datetime,
    ) -> list[Published]:
        """Raises ``JourneyInvalidError`` with every complaint about every journey."""
        journeys, complaints = await read_all(sources, templates)
        complaints = complaints or await self.moved(workspace, sources, journeys)
        if complaints:
            raise JourneyInvalidError(tuple(complaints))
        return await self.shelf.publish(workspace, [pin(one, templates) for one in journeys], at)
