"""``/api/v1/dead-letters/resolver``: the deliveries nobody could use, and why."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, Protocol

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from chappe.http import FieldError, Page, Problem, cursor_of, position_of
from chappe.http.lists import LIMIT_DEFAULT, Limit
from chappe.ids import WorkspaceId
from chappe_ingest.entrypoints.workspace import Authorise


class DeadLetters(Protocol):
    async def page(
        self, workspace: WorkspaceId, after: tuple[dt.datetime, str] | None, limit: int
    ) -> Sequence[dict[str, Any]]:
        """The newest first, those behind ``after``."""
        ...


class ShownDeadLetter(BaseModel):
    """One delivery that was set aside. Its content is kept, and not shown here."""

    id: str
    stream: str
    shard: int
    offset: int
    source: str | None
    reason: str
    bytes: int
    at: dt.datetime


def routes(letters: DeadLetters, authorise: Authorise) -> APIRouter:
    router = APIRouter(prefix="/api/v1/dead-letters", tags=["dead letters"])
    workspace: Any = Depends(authorise)

    @router.get("/resolver")
    async def list_(
        limit: Limit = LIMIT_DEFAULT,
        cursor: str | None = None,
        workspace: WorkspaceId = workspace,
    ) -> Page[ShownDeadLetter]:
        """Newest first."""
        rows = await letters.page(workspace, _after(cursor), limit + 1)
        items = [ShownDeadLetter.model_validate(row) for row in rows[:limit]]
        more = len(rows) > limit
        last = items[-1] if items else None
        next_ = cursor_of(last.at.isoformat(), last.id) if more and last else None
        return Page(items=items, next=next_)

    _ = list_
    return router


def _after(cursor: str | None) -> tuple[dt.datetime, str] | None:
    position = position_of(cursor, 2)
    if position is None:
        return None
    try:
        return dt.datetime.fromisoformat(str(position[0])), str(position[1])
    except ValueError:
        wrong = FieldError("cursor", "use `next` as given")
        raise Problem(400, "the cursor is not one of ours", errors=[wrong]) from None
