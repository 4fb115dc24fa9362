"""``GET /api/v1/dead-letters/orchestrator``: the records nobody could use, and why."""

import datetime as dt
from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from chappe.http import Page
from chappe.http.lists import LIMIT_DEFAULT, Limit
from chappe.ids import WorkspaceId
from chappe_orchestrator.application.ports import DeadLetters
from chappe_orchestrator.entrypoints.cursors import before, cursor_at


class DeadLetterOut(BaseModel):
    """One record that was set aside. Its content is kept, and not shown here."""

    id: str
    stream: str
    shard: int
    offset: int
    reason: str
    source: str | None
    bytes: int
    at: dt.datetime


def dead_letters_router(
    letters: DeadLetters, authorise: Callable[[Request], Awaitable[WorkspaceId]]
) -> APIRouter:
    """One route. A record that cannot be read says no workspace, so all see all."""
    router = APIRouter(tags=["dead letters"], dependencies=[Depends(authorise)])

    @router.get("/api/v1/dead-letters/orchestrator")
    async def dead_letters(
        limit: Limit = LIMIT_DEFAULT, cursor: str | None = None
    ) -> Page[DeadLetterOut]:
        """Newest first."""
        found = await letters.listed(before(cursor), limit + 1)
        page = found[:limit]
        return Page(
            items=[DeadLetterOut.model_validate(one._asdict()) for one in page],
            next=cursor_at(page[-1].at, page[-1].id) if len(found) > limit else None,
        )

    _ = dead_letters
    return router
