"""A person's rights: all that we hold of them, and its end. And what shops ask when they leave."""

import asyncio
import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from chappe.clock import Clock, monotonic
from chappe.http import Page, Problem
from chappe.ids import ContactId, WorkspaceId, derived
from chappe_ingest.application.forgetting import Held, erase_delivery, own_source
from chappe_ingest.application.inlet import Inlet, LogAway
from chappe_ingest.application.refs import Identities, find
from chappe_ingest.entrypoints.workspace import Authorise

APPLIED_WITHIN_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.05


class Erasure(BaseModel):
    """``applied`` False: it is kept and will be, under this id."""

    id: str
    contact: str
    applied: bool


class ShopErasure(BaseModel):
    """A shop that has left asks to erase its people. ``kept`` are known through another source."""

    id: str
    source: str
    shop: str | None
    asked_at: dt.datetime
    due_at: dt.datetime
    state: str
    erased: int
    kept: int
    confirmed_at: dt.datetime | None
    finished_at: dt.datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyDesk:
    inlet: Inlet
    identities: Identities
    privacy: Held
    business: Clock

    async def erase(self, workspace: WorkspaceId, ref: str) -> Erasure:
        contact = await self._contact(workspace, ref)
        source = own_source(workspace, self.business.now())
        try:
            (raw,) = await self.inlet.take(source, [erase_delivery(contact)])
        except LogAway:
            raise Problem(
                503, "the request could not be stored; try again", headers={"Retry-After": "5"}
            ) from None
        event = derived("e_", raw, "0")
        return Erasure(id=event, contact=contact, applied=await self._applied(event))

    async def _applied(self, event: str) -> bool:
        until = monotonic() + APPLIED_WITHIN_SECONDS
        while monotonic() < until:
            if await self.privacy.is_erased(event):
                return True
            await asyncio.sleep(LOOK_SECONDS)
        return False

    async def export(self, workspace: WorkspaceId, ref: str) -> dict[str, Any]:
        return await self.privacy.export(workspace, await self._contact(workspace, ref))

    async def tasks(self, workspace: WorkspaceId, ref: str) -> list[ShopErasure]:
        source = await self._source(workspace, ref)
        found = await self.privacy.tasks(workspace, source)
        return [ShopErasure.model_validate(each) for each in found]

    async def confirm(self, workspace: WorkspaceId, ref: str, task: str) -> None:
        source = await self._source(workspace, ref)
        if not await self.privacy.confirm(workspace, source, task, self.business.now()):
            raise Problem(404, "no such request waits here")

    async def _contact(self, workspace: WorkspaceId, ref: str) -> ContactId:
        contact = await find(self.identities, workspace, ref)
        if contact is None:
            raise Problem(404, "there is no such contact")
        return contact

    async def _source(self, workspace: WorkspaceId, ref: str) -> str:
        source = await self.privacy.source_of(workspace, ref)
        if source is None:
            raise Problem(404, "there is no such source")
        return source


def routes(desk: PrivacyDesk, authorise: Authorise) -> APIRouter:
    """Stands before ``/identities/{ref}``, which would take ``…/export`` for a name."""
    router = APIRouter(prefix="/api/v1", tags=["privacy"])
    workspace: Any = Depends(authorise)

    @router.delete("/identities/{ref:path}")
    async def erase(ref: str, answer: Response, workspace: WorkspaceId = workspace) -> Erasure:
        """Forget a person everywhere. 202: kept, and applied in a moment."""
        erased = await desk.erase(workspace, ref)
        if not erased.applied:
            answer.status_code = 202
        return erased

    @router.get("/identities/{ref:path}/export")
    async def export(ref: str, workspace: WorkspaceId = workspace) -> dict[str, Any]:
        """This service's part of a person's export."""
        return await desk.export(workspace, ref)

    @router.get("/sources/{source}/erasures")
    async def tasks(source: str, workspace: WorkspaceId = workspace) -> Page[ShopErasure]:
        """What a shop asked when it left; an operator decides before ``due_at``."""
        return Page(items=await desk.tasks(workspace, source), next=None)

    @router.post("/sources/{source}/erasures/{task}/confirm", status_code=202)
    async def confirm(source: str, task: str, workspace: WorkspaceId = workspace) -> None:
        """Erase every contact that only this shop has named; a second call changes nothing."""
        await desk.confirm(workspace, source, task)

    _ = (erase, export, tasks, confirm)
    return router
