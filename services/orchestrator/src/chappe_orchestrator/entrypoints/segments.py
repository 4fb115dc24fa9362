"""``/api/v1/segments``: who belongs together, by a rule that is kept current."""

import datetime as dt
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ValidationError

from chappe.clock import Clock
from chappe.http import FieldError, Page, Problem, cursor_of, position_of
from chappe.http.lists import LIMIT_DEFAULT, Limit
from chappe.ids import WorkspaceId
from chappe.journey import JourneySettings
from chappe.journey.mentions import Kind, mentions_in
from chappe.journey.notes import notes_on_segment
from chappe.journey.segments import (
    SEGMENTS_MAX,
    Segment,
    canonical_segment,
    loops_in,
    stored_segment,
)
from chappe.journey.sentences import sentence
from chappe.journey.wording import explained
from chappe_orchestrator.application.ports import (
    SegmentRow,
    SegmentShelf,
    SettingsShelf,
    Topics,
)


class SegmentOut(BaseModel):
    """``sentences``: the rule as people say it, in English and in French."""

    segment: str
    title: dict[str, str]
    definition: dict[str, Any]
    sentences: dict[str, str]
    updated_at: dt.datetime


class SegmentErrorOut(BaseModel):
    where: str
    what: str


class SegmentCheckedOut(BaseModel):
    """``warnings``: what its author should know of a rule that is right as it stands."""

    valid: bool
    sentences: dict[str, str]
    errors: list[SegmentErrorOut]
    warnings: list[str]


class SegmentPutOut(SegmentOut):
    warnings: list[str]


class CountOut(BaseModel):
    """How many contacts the rule holds for now."""

    contacts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentsApi:
    """What these addresses need."""

    shelf: SegmentShelf
    topics: Topics
    settings: SettingsShelf
    clock: Clock
    workspace: Callable[[Request], Awaitable[WorkspaceId]]


def segments_router(api: SegmentsApi) -> APIRouter:  # noqa: C901 - one function per route
    """The routes of ``/api/v1/segments``."""
    router = APIRouter(prefix="/api/v1/segments", tags=["segments"])
    caller = Depends(api.workspace)

    async def found(workspace: WorkspaceId, name: str) -> SegmentRow:
        row = await api.shelf.one(workspace, name)
        if row is None:
            raise Problem(404, "no such segment")
        return row

    async def counted(workspace: WorkspaceId, segment: Segment) -> CountOut:
        settings = JourneySettings.model_validate_json(await api.settings.one(workspace) or b"{}")
        try:
            contacts = await api.shelf.count(
                workspace,
                segment.rule,
                now=api.clock.now(),
                zone=settings.zone,
                half_life=settings.score_half_life,
            )
        except TimeoutError as error:
            raise Problem(503, "counting took too long", headers={"Retry-After": "60"}) from error
        return CountOut(contacts=contacts)

    @router.get("")
    async def listed(
        limit: Limit = LIMIT_DEFAULT, cursor: str | None = None, workspace: WorkspaceId = caller
    ) -> Page[SegmentOut]:
        """By name."""
        at = position_of(cursor, 1)
        rows = await api.shelf.listed(workspace, str(at[0]) if at else "", limit + 1)
        more = cursor_of(rows[limit - 1].name) if len(rows) > limit else None
        return Page(items=[_shown(row) for row in rows[:limit]], next=more)

    @router.post("/validate")
    async def validate(body: dict[str, Any], workspace: WorkspaceId = caller) -> SegmentCheckedOut:
        """Say everything that is wrong with a definition; nothing is stored. Warns of a rule that
        can never hold, and of topics and segments that do not exist.
        """
        try:
            segment = Segment.model_validate(body)
        except ValidationError as error:
            return SegmentCheckedOut(
                valid=False,
                sentences={},
                errors=[SegmentErrorOut(where=one.where, what=one.what) for one in _errors(error)],
                warnings=[],
            )
        return SegmentCheckedOut(
            valid=True,
            sentences=_said(segment),
            errors=[],
            warnings=await _warnings(api, workspace, segment),
        )

    @router.post("/count")
    async def count(body: dict[str, Any], workspace: WorkspaceId = caller) -> CountOut:
        """How many a definition would have, without storing it."""
        return await counted(workspace, _read(body))

    @router.get("/{name}")
    async def one(name: str, workspace: WorkspaceId = caller) -> SegmentOut:
        return _shown(await found(workspace, name))

    @router.get("/{name}/count")
    async def members(name: str, workspace: WorkspaceId = caller) -> CountOut:
        """How many contacts the rule holds for now."""
        return await counted(workspace, stored_segment((await found(workspace, name)).definition))

    @router.put("/{name}")
    async def put(
        name: str, body: dict[str, Any], workspace: WorkspaceId = caller
    ) -> SegmentPutOut:
        """Everybody is looked at again. Whoever is in it or out of it only because the definition
        changed is so without a fact: no journey begins by it.
        """
        segment = _read({"schema": 1, "segment": name, **body})
        if segment.segment != name:
            raise Problem(422, f"the definition is called {segment.segment!r}, not {name!r}")
        others = await api.shelf.listed(workspace, "", SEGMENTS_MAX)
        known = [stored_segment(row.definition) for row in others if row.name != name]
        if name in loops_in([*known, segment]):
            raise Problem(422, "the segment would depend on itself")
        if not await api.shelf.put(workspace, name, canonical_segment(segment), api.clock.now()):
            raise Problem(422, f"a workspace has at most {SEGMENTS_MAX} segments")
        shown = _shown(await found(workspace, name))
        return SegmentPutOut(
            **shown.model_dump(), warnings=await _warnings(api, workspace, segment)
        )

    @router.delete("/{name}", status_code=204)
    async def delete(name: str, workspace: WorkspaceId = caller) -> None:
        if not await api.shelf.delete(workspace, name):
            raise Problem(404, "no such segment")

    _ = (listed, validate, count, one, members, put, delete)
    return router


async def _warnings(api: SegmentsApi, workspace: WorkspaceId, segment: Segment) -> list[str]:
    named = {one.kind for one in mentions_in(segment)}
    known: dict[Kind, Collection[str]] = {}
    if "segment" in named:
        rows = await api.shelf.listed(workspace, "", SEGMENTS_MAX)
        known["segment"] = {row.name for row in rows}
    if "topic" in named and (topics := await api.topics.known(workspace)) is not None:
        known["topic"] = topics
    return notes_on_segment(segment, known)


def _read(body: dict[str, Any]) -> Segment:
    try:
        return Segment.model_validate(body)
    except ValidationError as error:
        raise Problem(
            422, "the segment cannot be accepted; see errors", errors=_errors(error)
        ) from error


def _errors(error: ValidationError) -> list[FieldError]:
    return [
        FieldError(where=".".join(str(p) for p in one.at if ":" not in str(p)), what=one.what)
        for one in explained(error, Segment)
    ]


def _said(segment: Segment) -> dict[str, str]:
    return {"en": sentence(segment.rule), "fr": sentence(segment.rule, "fr")}


def _shown(row: SegmentRow) -> SegmentOut:
    segment = stored_segment(row.definition)
    return SegmentOut(
        segment=row.name,
        title=segment.title,
        definition=segment.model_dump(mode="json", by_alias=True, exclude_unset=True),
        sentences=_said(segment),
        updated_at=row.updated_at,
    )
