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
    canonical_json,
    circles_between,
    read_journey,
)
from chappe.journey.definition import walk_steps
from chappe.journey.mentions import unknown_in
from chappe.journey.reading import yaml_of
from chappe.journey.steps import SendStep
from chappe_orchestrator.application.library import PinnedTemplate
from chappe_orchestrator.application.ports import JourneyShelf, NewVersion, Published, Topics
from chappe_orchestrator.application.texts import problem_with

JOURNEYS_MAX = 200


@dataclass(frozen=True, slots=True)
class Written:
    """One journey as it came: a text under a file name, or a definition as JSON. ``templates`` are
    those beside it; None: those of the whole request.
    """

    file: str
    text: str
    templates: Collection[str] | None = None


def written(file: str, *, yaml: str | None, definition: Mapping[str, Any] | None) -> Written:
    """A journey in either form. JSON is YAML too, so one reader serves."""
    if yaml is not None:
        return Written(file, yaml)
    return Written(
        file, json.dumps(definition if definition is not None else {}, ensure_ascii=False)
    )


def drafted(name: str, draft: bytes) -> Written:
    """A stored draft as its author would see it: complaints name lines of this text."""
    return Written(f"{name}.draft.yaml", yaml_of(json.loads(draft)))


async def read_all(
    sources: Sequence[Written],
    templates: Collection[str] | None,
    topics: Collection[str] | None = None,
) -> tuple[list[Journey], list[Complaint]]:
    """Every journey that can be read, and every complaint about the others.

    Beside the event loop: a large file takes a second to read.
    """
    return await asyncio.to_thread(read_now, sources, templates, topics)


async def read_with_topics(
    sources: Sequence[Written],
    templates: Collection[str] | None,
    said: Collection[str],
    ask: Callable[[], Awaitable[Collection[str] | None]],
) -> tuple[list[Journey], list[Complaint]]:
    """The same, topics looked at too. ``said`` are those that came along; the others are asked for
    only if a text may name one.
    """
    if not any("topic" in one.text or "opt_out" in one.text for one in sources):
        return await read_all(sources, templates)
    journeys, complaints = await read_all(sources, templates)
    strange = any(next(unknown_in(one, {"topic": said}), None) for one in journeys)
    if not complaints and not strange:
        return journeys, []
    known = await ask()
    if known is None:
        return journeys, complaints
    return await read_all(sources, templates, {*known, *said})


def read_now(
    sources: Sequence[Written],
    templates: Collection[str] | None = None,
    topics: Collection[str] | None = None,
) -> tuple[list[Journey], list[Complaint]]:
    """The same, at once."""
    journeys: list[Journey] = []
    complaints: list[Complaint] = []
    seen: dict[str, str] = {}
    for source in sources:
        try:
            journey = read_journey(
                source.text,
                file=source.file,
                templates=templates if source.templates is None else source.templates,
                topics=topics,
                problem_with=problem_with,
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


def templates_used(journey: Journey) -> list[str]:
    """The templates that it sends, by name."""
    steps = (step for _, step in walk_steps(journey.steps))
    return sorted({step.send.template for step in steps if isinstance(step, SendStep)})


def pin(
    journey: Journey, templates: Mapping[str, PinnedTemplate], draft: bytes | None = None
) -> NewVersion:
    """A journey with the template versions it uses, and no others."""
    pinned = {name: templates[name] for name in templates_used(journey)}
    return NewVersion(
        journey=journey.journey,
        definition=canonical_json(journey),
        templates=msgspec.json.encode(pinned, order="deterministic"),
        draft=draft,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishJourneys:
    """Validate, pin, store: all or nothing. ``moved`` finds unwritten step ids that would come to
    stand for other steps of a live journey.
    """

    shelf: JourneyShelf
    topics: Topics
    moved: Callable[[WorkspaceId, Sequence[Written], Sequence[Journey]], Awaitable[list[Complaint]]]

    async def __call__(
        self,
        workspace: WorkspaceId,
        sources: Sequence[Written],
        templates: Mapping[str, PinnedTemplate],
        at: dt.datetime,
        draft: bytes | None = None,
    ) -> list[Published]:
        """Raises ``JourneyInvalidError`` with every complaint about every journey. ``draft``: what
        the one journey was stored as until now.
        """
        journeys, complaints = await self.read(workspace, sources, templates)
        if complaints:
            raise JourneyInvalidError(tuple(complaints))
        versions = [pin(one, templates, draft) for one in journeys]
        return await self.shelf.publish(workspace, versions, at)

    async def read(
        self,
        workspace: WorkspaceId,
        sources: Sequence[Written],
        templates: Mapping[str, PinnedTemplate],
    ) -> tuple[list[Journey], list[Complaint]]:
        """What publishing would make of them, and all that speaks against it."""
        said = {one.topic for one in templates.values() if one.topic}
        journeys, complaints = await read_with_topics(
            sources, templates, said, lambda: self.topics.known(workspace)
        )
        return journeys, complaints or await self.moved(workspace, sources, journeys)
