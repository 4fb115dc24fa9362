"""``GET /api/v1/contacts/{ref}/timeline``: what happened to a contact, and why, newest first."""

import datetime as dt
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from chappe.http import FieldError, Page, Problem, cursor_of, position_of
from chappe.http.lists import LIMIT_DEFAULT, Limit
from chappe.ids import ContactId, WorkspaceId
from chappe_analytics.application.ports import (
    Before,
    ContactKey,
    Identities,
    IdentitiesUnavailable,
    Line,
    Reading,
)
from chappe_analytics.domain.timeline import Kind
from chappe_analytics.entrypoints.workspace import Check

EXPORT_MAX = 500
"""Lines of one page of an export."""


class TimelineItem(BaseModel):
    """One line: an event that came, or a decision taken, with the values it saw in ``data``."""

    id: str
    kind: Kind
    at: dt.datetime
    received_at: dt.datetime | None
    name: str
    text: str
    reason: str | None
    journey: str | None
    version: int | None
    step: str | None
    enrollment: str | None
    message: str | None
    event: str | None
    flags: list[str]
    data: dict[str, Any]


class EngagementItem(BaseModel):
    """How often a link (or, ``kind`` open, the pixel) of one mail was touched, by whom it seems."""

    message: str
    kind: str
    link: int
    human: int
    unsure: int
    machine: int


class TimelineExport(BaseModel):
    """``next`` goes on with older lines."""

    contact: str
    timeline: list[TimelineItem]
    engagement: list[EngagementItem]
    next: str | None


def timeline_routes(reading: Reading, identities: Identities, check: Check) -> APIRouter:
    router = APIRouter(tags=["timeline"])

    @router.get("/api/v1/contacts/{ref:path}/timeline/export")
    async def export(
        ref: str,
        workspace: Annotated[WorkspaceId, Depends(check)],
        cursor: str | None = None,
    ) -> TimelineExport:
        """Analytics' part of a contact's export: lines, and what the contact did with each mail."""
        contact = await _resolved(identities, workspace, ref)
        key = ContactKey(workspace, contact)
        lines = await reading.timeline(key, kind=None, before=_before(cursor), limit=EXPORT_MAX + 1)
        page = lines[:EXPORT_MAX]
        engaged = await reading.engagement(key) if cursor is None else []
        return TimelineExport(
            contact=contact,
            timeline=[_item(line) for line in page],
            engagement=[EngagementItem.model_validate(one) for one in engaged],
            next=_next(page, lines),
        )

    @router.get("/api/v1/contacts/{ref:path}/timeline")
    async def timeline(
        ref: str,
        workspace: Annotated[WorkspaceId, Depends(check)],
        limit: Limit = LIMIT_DEFAULT,
        cursor: str | None = None,
        kind: Annotated[Kind | None, Query()] = None,
    ) -> Page[TimelineItem]:
        """A contact's timeline, by id, ``email:…``, ``phone:…`` or ``external_id:…``."""
        before = _before(cursor)
        contact = await _resolved(identities, workspace, ref)
        key = ContactKey(workspace, contact)
        lines = await reading.timeline(key, kind=kind, before=before, limit=limit + 1)
        page = lines[:limit]
        return Page(items=[_item(line) for line in page], next=_next(page, lines))

    _ = (export, timeline)
    return router


async def _resolved(identities: Identities, workspace: WorkspaceId, ref: str) -> ContactId:
    try:
        contact = await identities.resolve(workspace, ref)
    except IdentitiesUnavailable as error:
        raise Problem(
            503,
            "the service that knows identifiers did not answer; try again",
            headers={"Retry-After": "1"},
        ) from error
    if contact is None:
        raise Problem(404, f"no contact is known as {ref}")
    return contact


def _item(line: Line) -> TimelineItem:
    return TimelineItem.model_validate(msgspec.structs.asdict(line.entry), from_attributes=True)


def _next(page: list[Line], lines: list[Line]) -> str | None:
    if len(lines) == len(page):
        return None
    last = page[-1]
    return cursor_of(last.entry.at.isoformat(), last.seq)


def _before(cursor: str | None) -> Before | None:
    match position_of(cursor, 2):
        case None:
            return None
        case [str(at), int(seq)]:
            try:
                return dt.datetime.fromisoformat(at), seq
            except ValueError:
                pass
        case _:
            pass
    raise Problem(
        400, "the cursor is not one of ours", errors=[FieldError("cursor", "use `next` as given")]
    )
