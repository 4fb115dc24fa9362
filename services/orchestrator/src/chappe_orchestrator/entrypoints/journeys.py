"""``/api/v1/journeys``: write a draft, validate, publish, look at, pause, resume."""

import datetime as dt
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from chappe.clock import Clock
from chappe.http import FieldError, Page, Problem, cursor_of, position_of
from chappe.http.lists import LIMIT_DEFAULT, Limit
from chappe.ids import WorkspaceId
from chappe.journey import (
    Complaint,
    Journey,
    JourneyInvalidError,
    Program,
    compile_program,
    journey_schema,
    stored_journey,
)
from chappe.journey.mentions import Kind, mentions_in
from chappe.journey.notes import notes_on
from chappe.journey.segments import SEGMENTS_MAX
from chappe_orchestrator.application.library import PinnedTemplate, compiled
from chappe_orchestrator.application.pausing import PauseJourney
from chappe_orchestrator.application.ports import (
    JourneyRow,
    People,
    SegmentShelf,
    Shelf,
    StoredVersion,
    Topics,
)
from chappe_orchestrator.application.publishing import (
    JOURNEYS_MAX,
    PublishJourneys,
    Written,
    read_with_topics,
    written,
)
from chappe_orchestrator.entrypoints.drawing import Graph, draw

TEMPLATE_ENDINGS = (".mjml", ".html", ".txt")
JOURNEY_ENDINGS = (".yaml", ".yml", ".json")
TEXT_LENGTH_MAX = 300_000
JOURNEYS_KNOWN_MAX = 2_000
HEAD_LENGTH_MAX = 4_000
TOPIC_LINE = re.compile(r"^topic:[ \t]*[\"']?([a-z0-9][a-z0-9_-]{0,99})", re.MULTILINE)

Text = Annotated[str, Field(max_length=TEXT_LENGTH_MAX)]


Version = Annotated[int | None, Query(ge=1, le=2**31 - 1)]


class JourneyIn(BaseModel):
    """A journey as a YAML text or as a JSON definition."""

    file: str = Field(default="journey.yaml", max_length=500)
    yaml: Text | None = None
    definition: dict[str, Any] | None = None


class TemplateIn(BaseModel):
    """What the sender answered when the template was uploaded."""

    version: str = Field(max_length=200)
    message_class: Literal["marketing", "transactional"] = Field(default="marketing", alias="class")
    topic: str | None = Field(default=None, max_length=100)


class PublishIn(BaseModel):
    """Everything in it is published, or nothing. ``templates`` by name."""

    journeys: list[JourneyIn] = Field(min_length=1, max_length=JOURNEYS_MAX)
    templates: dict[str, TemplateIn] = {}


class PlanIn(BaseModel):
    """``templates``: their names; left out, nobody asks whether they exist."""

    journeys: list[JourneyIn] = Field(min_length=1, max_length=JOURNEYS_MAX)
    templates: list[str] | None = None


class ValidateIn(BaseModel):
    """Files by path, or one definition. Template files among them say which templates there are;
    ``templates`` names others.
    """

    files: dict[str, Text] = Field(default={}, max_length=2 * JOURNEYS_MAX)
    definition: dict[str, Any] | None = None
    templates: list[str] | None = None


class ErrorOut(BaseModel):
    where: str
    what: str


class ValidateOut(BaseModel):
    valid: bool
    journeys: list[str]
    errors: list[ErrorOut]
    warnings: list[str]


class PublishedOut(BaseModel):
    """``changed`` is false when the current version says the same already."""

    journey: str
    version: int
    changed: bool


class PublishOut(BaseModel):
    journeys: list[PublishedOut]


class JourneyOut(BaseModel):
    """``status``: draft, published, paused or archived."""

    journey: str
    title: dict[str, str]
    status: str
    version: int | None
    published_at: dt.datetime | None
    has_draft: bool
    draft_saved_at: dt.datetime | None


class VersionOut(BaseModel):
    version: int
    published_at: dt.datetime


class JourneyDetail(JourneyOut):
    """With the definition of its current version, or of the draft where nothing is published."""

    definition: dict[str, Any]
    templates: dict[str, Any]
    draft: dict[str, Any] | None
    versions: list[VersionOut]


class StatusOut(BaseModel):
    journey: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JourneysApi:
    """What these addresses need."""

    shelf: Shelf
    segments: SegmentShelf
    topics: Topics
    people: People
    clock: Clock
    publish: PublishJourneys
    pause: PauseJourney
    workspace: Callable[[Request], Awaitable[WorkspaceId]]


def journeys_router(api: JourneysApi) -> APIRouter:
    """The routes of ``/api/v1/journeys``."""
    router = APIRouter(
        prefix="/api/v1/journeys", tags=["journeys"], dependencies=[Depends(api.workspace)]
    )
    _add_checks(router, api)
    _add_writing(router, api)
    _add_reading(router, api)
    return router


def _add_checks(router: APIRouter, api: JourneysApi) -> None:
    caller = Depends(api.workspace)

    @router.get("/schema")
    async def schema() -> dict[str, Any]:
        """The JSON Schema of a journey file."""
        return journey_schema()

    @router.post("/validate")
    async def validate(body: ValidateIn, workspace: WorkspaceId = caller) -> ValidateOut:
        """Everything that is wrong, at once; nothing is stored. Warns of segments and journeys that
        are named and do not exist.
        """
        sources, templates = _files(body)
        journeys, complaints = await read_with_topics(
            sources, templates, _topics_in(body), lambda: api.topics.known(workspace)
        )
        known = await names_known(api, workspace, journeys)
        return ValidateOut(
            valid=not complaints,
            journeys=[journey.journey for journey in journeys],
            errors=[ErrorOut(where=one.where, what=one.what) for one in complaints],
            warnings=[
                f"{one.journey}: {note}" for one in journeys for note in notes_on(one, known)
            ],
        )

    _ = (schema, validate)


def _add_writing(router: APIRouter, api: JourneysApi) -> None:
    caller = Depends(api.workspace)

    @router.post("/publish")
    async def publish(body: PublishIn, workspace: WorkspaceId = caller) -> PublishOut:
        """All of them or none. What says the same as before keeps its version."""
        sources = [written_in(one) for one in body.journeys]
        try:
            done = await api.publish(workspace, sources, pinned_in(body.templates), api.clock.now())
        except JourneyInvalidError as error:
            raise invalid(error.complaints) from error
        return PublishOut(
            journeys=[
                PublishedOut(journey=one.journey, version=one.version, changed=one.changed)
                for one in done
            ]
        )

    @router.post("/{name}/pause")
    async def pause(name: str, workspace: WorkspaceId = caller) -> StatusOut:
        """Nobody enters, those inside stay where they are, mail not handed over is held."""
        await _set_paused(api, workspace, name, paused=True)
        return StatusOut(journey=name, status="paused")

    @router.post("/{name}/resume")
    async def resume(name: str, workspace: WorkspaceId = caller) -> StatusOut:
        """Go on; marketing steps overdue by more than a day are skipped, not burst."""
        await _set_paused(api, workspace, name, paused=False)
        return StatusOut(journey=name, status="published")

    _ = (publish, pause, resume)


def _add_reading(router: APIRouter, api: JourneysApi) -> None:
    caller = Depends(api.workspace)

    @router.get("")
    async def list_journeys(
        limit: Limit = LIMIT_DEFAULT,
        cursor: str | None = None,
        *,
        draft: bool = False,
        workspace: WorkspaceId = caller,
    ) -> Page[JourneyOut]:
        """By name; with ``draft`` only those that have one."""
        after = position_of(cursor, 1)
        start = str(after[0]) if after else ""
        rows = await api.shelf.listed(workspace, start, limit + 1, drafts=draft)
        more = cursor_of(rows[limit - 1].name) if len(rows) > limit else None
        return Page(items=[_shown(row) for row in rows[:limit]], next=more)

    @router.get("/{name}")
    async def one(
        name: str, version: Version = None, workspace: WorkspaceId = caller
    ) -> JourneyDetail:
        """A journey, at its current version or at another."""
        row = await _found(api.shelf, workspace, name, version)
        versions = [
            VersionOut(version=number, published_at=at)
            for number, at in await api.shelf.versions(workspace, name)
        ]
        return _detailed(row, versions)

    @router.get("/{name}/graph")
    async def graph(name: str, version: Version = None, workspace: WorkspaceId = caller) -> Graph:
        """The steps and the ways between them, with how many people stand where now."""
        row = await _found(api.shelf, workspace, name, version)
        program = _program(row, workspace, version or row.version)
        return draw(program, await api.people.counts(workspace, name, program.version))

    _ = (list_journeys, one, graph)


def _program(row: JourneyRow, workspace: WorkspaceId, version: int | None) -> Program:
    """The version asked for; a draft nobody has published is version 0."""
    if row.definition is None or row.templates is None or version is None:
        return compile_program(_journey_of(row), version=0)
    return compiled(
        StoredVersion(workspace, row.name, version, row.definition, row.templates, row.paused)
    )


async def _set_paused(api: JourneysApi, workspace: WorkspaceId, name: str, *, paused: bool) -> None:
    if not await api.pause(workspace, name, api.clock.now(), paused=paused):
        raise Problem(404, f"no published journey is called {name!r}")


async def _found(
    shelf: Shelf, workspace: WorkspaceId, name: str, version: int | None
) -> JourneyRow:
    row = await shelf.one(workspace, name, version)
    if row is None or (version is not None and row.definition is None):
        raise Problem(404, f"no journey is called {name!r}, or it has no such version")
    return row


def pinned_in(templates: Mapping[str, TemplateIn]) -> dict[str, PinnedTemplate]:
    """The versions that a request names."""
    return {
        name: PinnedTemplate(one.version, one.message_class, one.topic)
        for name, one in templates.items()
    }


async def names_known(
    api: JourneysApi, workspace: WorkspaceId, journeys: Sequence[Journey]
) -> dict[Kind, set[str]]:
    """The segments that there are, and the journeys, those in hand included. Looked up only for
    journeys that name one; of too many journeys nobody says that one is missing.
    """
    named = {one.kind for journey in journeys for one in mentions_in(journey)}
    known: dict[Kind, set[str]] = {}
    if "segment" in named:
        rows = await api.segments.listed(workspace, "", SEGMENTS_MAX)
        known["segment"] = {row.name for row in rows}
    if "journey" in named:
        others = await api.shelf.listed(workspace, "", JOURNEYS_KNOWN_MAX + 1)
        if len(others) <= JOURNEYS_KNOWN_MAX:
            held = {row.name for row in others if row.version is not None}
            known["journey"] = held | {journey.journey for journey in journeys}
    return known


def written_in(body: JourneyIn) -> Written:
    """Either form. Giving both, or neither, is a 422."""
    if (body.yaml is None) == (body.definition is None):
        what = "give either yaml or definition"
        raise Problem(422, "the request cannot be used", errors=[FieldError(body.file, what)])
    return written(body.file, yaml=body.yaml, definition=body.definition)


def _files(body: ValidateIn) -> tuple[list[Written], list[str] | None]:
    sources = [
        written(path, yaml=text, definition=None)
        for path, text in body.files.items()
        if path.endswith(JOURNEY_ENDINGS) and ".test." not in path
    ]
    if body.definition is not None:
        sources.append(written("definition", yaml=None, definition=body.definition))
    names = [
        path.rpartition("/")[2].partition(".")[0]
        for path in body.files
        if path.endswith(TEMPLATE_ENDINGS)
    ]
    known = [*names, *(body.templates or [])]
    return sources, known if names or body.templates is not None else None


def _topics_in(body: ValidateIn) -> set[str]:
    """Topics of templates that are about to be uploaded."""
    found: set[str] = set()
    for path, text in body.files.items():
        if path.endswith(TEMPLATE_ENDINGS):
            found.update(TOPIC_LINE.findall(text[:HEAD_LENGTH_MAX]))
    return found


def invalid(complaints: Sequence[Complaint]) -> Problem:
    """A 422 that says everything at once."""
    return Problem(
        422,
        "the journeys cannot be accepted; see errors",
        errors=[FieldError(one.where, one.what) for one in complaints],
    )


def _journey_of(row: JourneyRow) -> Journey:
    body = row.definition or row.draft
    assert body is not None, "a journey row has a version or a draft"
    return stored_journey(body)


def _fields(row: JourneyRow) -> Mapping[str, Any]:
    body = row.definition or row.draft
    title: dict[str, str] = dict(stored_journey(body).title) if body else {}
    return {
        "journey": row.name,
        "title": title,
        "status": row.status,
        "version": row.version,
        "published_at": row.published_at,
        "has_draft": row.has_draft,
        "draft_saved_at": row.draft_at,
    }


def _shown(row: JourneyRow) -> JourneyOut:
    return JourneyOut(**_fields(row))


def _detailed(row: JourneyRow, versions: list[VersionOut]) -> JourneyDetail:
    return JourneyDetail(
        **_fields(row),
        definition=json.loads(row.definition or row.draft or b"{}"),
        templates=json.loads(row.templates or b"{}"),
        draft=json.loads(row.draft) if row.draft else None,
        versions=versions,
    )
