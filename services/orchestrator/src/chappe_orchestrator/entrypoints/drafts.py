"""``/api/v1/journeys/{name}/draft``: keep a draft, look at it, check it, publish it, drop it."""

import datetime as dt
import json
from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from chappe.http import FieldError, Problem
from chappe.ids import WorkspaceId
from chappe.journey import JourneyInvalidError, canonical_json
from chappe.journey.notes import notes_on
from chappe.journey.reading import yaml_of
from chappe_orchestrator.application.library import PinnedTemplate, pinned_templates
from chappe_orchestrator.application.ports import JourneyRow
from chappe_orchestrator.application.publishing import drafted, read_all, templates_used
from chappe_orchestrator.entrypoints.journeys import (
    ErrorOut,
    JourneyIn,
    JourneysApi,
    PublishedOut,
    PublishOut,
    StatusOut,
    TemplateIn,
    ValidateOut,
    invalid,
    names_known,
    pinned_in,
    written_in,
)


class DraftIn(JourneyIn):
    """``templates`` by name, as uploading them was answered: publishing the draft pins them. Those
    that are left out stay as they were with the draft before.
    """

    templates: dict[str, TemplateIn] = Field(default={})


class DraftOut(BaseModel):
    """``yaml`` is what complaints name lines of. ``version`` is the published one."""

    journey: str
    saved_at: dt.datetime | None
    version: int | None
    definition: dict[str, Any]
    yaml: str
    templates: dict[str, Any]


class DraftPublishIn(BaseModel):
    """``templates`` in the place of those that the draft was saved with."""

    templates: dict[str, TemplateIn] = Field(default={})


def drafts_router(api: JourneysApi) -> APIRouter:
    """The routes. A list of all drafts is ``GET /api/v1/journeys?draft=true``."""
    router = APIRouter(
        prefix="/api/v1/journeys", tags=["journeys"], dependencies=[Depends(api.workspace)]
    )
    _add_keeping(router, api)
    _add_publishing(router, api)
    return router


def _add_keeping(router: APIRouter, api: JourneysApi) -> None:
    caller = Depends(api.workspace)

    @router.put("/{name}/draft")
    async def save(name: str, body: DraftIn, workspace: WorkspaceId = caller) -> StatusOut:
        """Keep a draft that reads; its templates need not exist yet."""
        journeys, complaints = await read_all([written_in(body)], None)
        if complaints:
            raise invalid(complaints)
        (journey,) = journeys
        if journey.journey != name:
            what = f"the address says {name!r}, the draft says {journey.journey!r}"
            raise Problem(422, "the names differ", errors=[FieldError("journey", what)])
        before = await api.shelf.one(workspace, name)
        held = {**_templates(before), **pinned_in(body.templates)}
        kept = {one: held[one] for one in templates_used(journey) if one in held}
        await api.shelf.save_draft(
            workspace,
            name,
            canonical_json(journey),
            msgspec.json.encode(kept, order="deterministic"),
            api.clock.now(),
        )
        return StatusOut(journey=name, status="draft")

    @router.get("/{name}/draft")
    async def show(name: str, workspace: WorkspaceId = caller) -> DraftOut:
        """The draft, with the template versions it would pin."""
        row, draft = await _found(api, workspace, name)
        definition = json.loads(draft)
        return DraftOut(
            journey=name,
            saved_at=row.draft_at,
            version=row.version,
            definition=definition,
            yaml=yaml_of(definition),
            templates=json.loads(row.draft_templates or b"{}"),
        )

    @router.delete("/{name}/draft", status_code=204)
    async def drop(name: str, workspace: WorkspaceId = caller) -> Response:
        """Forget the draft; what is published stays."""
        if not await api.shelf.drop_draft(workspace, name):
            raise _no_draft(name)
        return Response(status_code=204)

    _ = (save, show, drop)


def _add_publishing(router: APIRouter, api: JourneysApi) -> None:
    caller = Depends(api.workspace)

    @router.post("/{name}/draft/validate")
    async def validate(name: str, workspace: WorkspaceId = caller) -> ValidateOut:
        """Everything that speaks against publishing it."""
        row, draft = await _found(api, workspace, name)
        journeys, complaints = await api.publish.read(
            workspace, [drafted(name, draft)], _templates(row)
        )
        known = await names_known(api, workspace, journeys)
        return ValidateOut(
            valid=not complaints,
            journeys=[journey.journey for journey in journeys],
            errors=[ErrorOut(where=one.where, what=one.what) for one in complaints],
            warnings=[note for one in journeys for note in notes_on(one, known)],
        )

    @router.post("/{name}/draft/publish")
    async def publish(
        name: str, body: DraftPublishIn | None = None, workspace: WorkspaceId = caller
    ) -> PublishOut:
        """Make it the next version, without sending it again; then the draft is gone."""
        row, draft = await _found(api, workspace, name)
        given = pinned_in(body.templates) if body is not None else {}
        try:
            done = await api.publish(
                workspace,
                [drafted(name, draft)],
                {**_templates(row), **given},
                api.clock.now(),
                draft,
            )
        except JourneyInvalidError as error:
            raise invalid(error.complaints) from error
        return PublishOut(
            journeys=[
                PublishedOut(journey=one.journey, version=one.version, changed=one.changed)
                for one in done
            ]
        )

    _ = (validate, publish)


async def _found(api: JourneysApi, workspace: WorkspaceId, name: str) -> tuple[JourneyRow, bytes]:
    row = await api.shelf.one(workspace, name)
    if row is None or row.draft is None:
        raise _no_draft(name)
    return row, row.draft


def _no_draft(name: str) -> Problem:
    return Problem(404, f"no draft is called {name!r}")


def _templates(row: JourneyRow | None) -> dict[str, PinnedTemplate]:
    held = row.draft_templates if row is not None else None
    return pinned_templates(held) if held is not None else {}
