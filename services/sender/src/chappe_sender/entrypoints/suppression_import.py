"""``POST /api/v1/suppressions/import``: addresses that another sender learnt not to write to.

Safe to send again: a suppression is only ever strengthened, and one that is here already keeps its
reason, its time and where it came from.
"""

import asyncio
import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, Final, Protocol

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel

from chappe.clock import Clock
from chappe.http import FieldError, Problem
from chappe.ids import WorkspaceId
from chappe_sender.domain.suppression_rows import (
    TABLE_MAX_BYTES,
    BadRow,
    NoTable,
    SuppressionRow,
    table_of,
)

CHUNK: Final = 500
WRONG_MAX: Final = 100
"""Bad rows that are told one by one, of each body; all are counted."""

ROW_MAX: Final = 100_000_000


class Suppressing(Protocol):
    """Where suppressions are kept."""

    async def strengthen(
        self, workspace: WorkspaceId, rows: Sequence[SuppressionRow], now: dt.datetime
    ) -> int:
        """Close these addresses, and weaken none; how many that changed.

        A row without a time is of ``now``.
        """
        ...


class WrongSuppression(BaseModel):
    """The row as a spreadsheet numbers it: the head is row 1; cells count from 1."""

    row: int
    column: str
    what: str
    cell: int | None


class ImportedSuppressions(BaseModel):
    """``taken``: usable rows; ``new``: of those, the ones that closed or strengthened something.

    In a dry run nothing is kept, and ``new`` is null.
    """

    dry_run: bool
    taken: int
    new: int | None
    refused: int
    errors: list[WrongSuppression]


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppressionImport:
    """Reads tables."""

    store: Suppressing
    clock: Clock

    async def take(
        self,
        workspace: WorkspaceId,
        content: bytes,
        *,
        reason: str | None,
        dry_run: bool,
        first_row: int,
    ) -> ImportedSuppressions:
        try:
            rows = table_of(content, reason=reason, first_row=first_row)
        except NoTable as error:
            raise Problem(422, str(error), errors=[FieldError("body", str(error))]) from None
        taken = new = refused = 0
        errors: list[WrongSuppression] = []
        now = self.clock.now()
        for chunk in _chunks(rows):
            usable = [row for row in chunk if isinstance(row, SuppressionRow)]
            bad = [row for row in chunk if isinstance(row, BadRow)]
            if usable and not dry_run:
                new += await self.store.strengthen(workspace, usable, now)
            taken += len(usable)
            refused += len(bad)
            errors += [
                WrongSuppression(
                    row=each.number, column=each.column, what=each.what, cell=each.cell
                )
                for each in bad[: WRONG_MAX - len(errors)]
            ]
            await asyncio.sleep(0)  # a long list leaves room for others
        return ImportedSuppressions(
            dry_run=dry_run,
            taken=taken,
            new=None if dry_run else new,
            refused=refused,
            errors=errors,
        )


def router(desk: SuppressionImport, workspace_of: Any) -> APIRouter:
    routes = APIRouter(
        prefix="/api/v1/suppressions", tags=["suppressions"], max_body_size=TABLE_MAX_BYTES
    )

    @routes.post(
        "/import",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"text/csv": {"schema": {"type": "string"}}},
            }
        },
    )
    async def take(
        request: Request,
        workspace: Annotated[WorkspaceId, Depends(workspace_of)],
        reason: Annotated[
            str | None, Query(pattern=r"^(unsubscribed|complained|bounced|manual)$")
        ] = None,
        first_row: Annotated[int, Query(ge=2, le=ROW_MAX)] = 2,
        *,
        dry_run: bool = False,
    ) -> ImportedSuppressions:
        """Suppress the addresses of the CSV table in the body.

        Columns: email, reason, at, source; the exports of Mailchimp, Klaviyo, SendGrid, Postmark,
        SES, Mailgun and Brevo as they are. ``reason``: of rows that say none.
        """
        return await desk.take(
            workspace, await request.body(), reason=reason, dry_run=dry_run, first_row=first_row
        )

    _ = take
    return routes


def _chunks(
    rows: Iterator[SuppressionRow | BadRow | None],
) -> Iterator[Sequence[SuppressionRow | BadRow | None]]:
    while chunk := tuple(islice(rows, CHUNK)):
        yield chunk
