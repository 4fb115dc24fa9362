"""``GET /api/v1/dead-letters/analytics``: the records nobody could use, and why."""

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from chappe.http import FieldError, Page, Problem, cursor_of, position_of
from chappe.http.lists import LIMIT_DEFAULT, Limit
from chappe.ids import WorkspaceId
from chappe_analytics.application.ports import DeadLetters
from chappe_analytics.entrypoints.workspace import Check


class ShownDeadLetter(BaseModel):
    """One record that was set aside. Its content is kept, and not shown here."""

    id: str
    stream: str
    shard: int
    offset: int
    reason: str
    source: str | None
    bytes: int
    at: dt.datetime


def dead_letter_routes(letters: DeadLetters, check: Check) -> APIRouter:
    router = APIRouter(tags=["dead letters"])

    @router.get("/api/v1/dead-letters/analytics")
    async def dead_letters(
        workspace: Annotated[WorkspaceId, Depends(check)],
        limit: Limit = LIMIT_DEFAULT,
        cursor: str | None = None,
    ) -> Page[ShownDeadLetter]:
        """Newest first. A record that cannot be read says no workspace, so all see all."""
        del workspace
        found = await letters.letters(before=_before(cursor), limit=limit + 1)
        page = found[:limit]
        more = len(found) > limit
        return Page(
            items=[ShownDeadLetter.model_validate(letter._asdict()) for letter in page],
            next=cursor_of(page[-1].at.isoformat(), page[-1].id) if more else None,
        )

    _ = dead_letters
    return router


def _before(cursor: str | None) -> tuple[dt.datetime, str] | None:
    match position_of(cursor, 2):
        case None:
            return None
        case [str(at), str(number)]:
            try:
                return dt.datetime.fromisoformat(at), number
            except ValueError:
                pass
        case _:
            pass
    raise Problem(
        400, "the cursor is not one of ours", errors=[FieldError("cursor", "use `next` as given")]
    )
