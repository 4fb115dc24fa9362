"""``/api/v1/imports``: contacts from a table, on the bulk stream, triggering nothing.

A large table comes in pieces: each body has the head and some rows, ``table`` names the whole
(the SHA-256 of the file, say) and ``first_row`` the number of the first row below the head. What
was taken is remembered by the table's name, so that whoever lost the connection goes on behind it.
"""

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated, Any, Final

import msgspec
import structlog
from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel

from chappe.clock import Clock
from chappe.events import RAW_BULK
from chappe.http import FieldError, Problem
from chappe.ids import SourceId, WorkspaceId
from chappe_ingest.application.importing import Progress, Step
from chappe_ingest.application.inlet import Delivered, Inlet, LogAway
from chappe_ingest.domain import marks
from chappe_ingest.domain.contact_rows import (
    TABLE_MAX_BYTES,
    BadRow,
    ContactRow,
    NoTable,
    table_of,
)
from chappe_ingest.domain.reading import iso
from chappe_ingest.domain.source import Source, SourceState
from chappe_ingest.domain.sources import API
from chappe_ingest.entrypoints.workspace import Authorise

CHUNK: Final = 200
WRONG_MAX: Final = 100
"""Bad rows that are told one by one, of each body; all are counted."""

ROW_MAX: Final = 100_000_000
FIRST_ROW: Final = 2
"""The head is row 1."""

_TABLE: Final = r"^[A-Za-z0-9_-]{1,64}$"
_NAMESPACE: Final = r"^[A-Za-z0-9._-]{0,63}$"

_encode = msgspec.json.Encoder().encode

logger = structlog.get_logger(__name__)


class WrongRow(BaseModel):
    """The row as a spreadsheet numbers it: the head is row 1; cells count from 1."""

    row: int
    column: str
    what: str
    cell: int | None


class Import(BaseModel):
    """What became of these rows, or in a dry run would. The same table again changes nothing.

    ``next_row``: send the table again from there, because the log was away; null: all is done.
    """

    id: str
    dry_run: bool
    taken: int
    refused: int
    errors: list[WrongRow]
    next_row: int | None


class ShownStanding(BaseModel):
    """How far a table is in: the rows before ``next_row`` are; ``done``: all of them."""

    id: str
    next_row: int
    taken: int
    refused: int
    done: bool


@dataclass(slots=True)
class _Count:
    taken: int = 0
    refused: int = 0
    errors: list[WrongRow] = field(default_factory=list[WrongRow])

    def refuse(self, bad: BadRow) -> None:
        self.refused += 1
        if len(self.errors) < WRONG_MAX:
            self.errors.append(
                WrongRow(row=bad.number, column=bad.column, what=bad.what, cell=bad.cell)
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Which part of which table a body is. ``table`` None: the body is all of it."""

    table: str | None = None
    first_row: int = FIRST_ROW
    from_row: int = FIRST_ROW
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportsDesk:
    """Reads tables. Each row is a delivery of its own, known by its table, number and content."""

    inlet: Inlet
    progress: Progress
    business: Clock
    wall: Clock

    async def take(
        self,
        workspace: WorkspaceId,
        content: bytes,
        *,
        namespace: str,
        dry_run: bool,
        piece: Piece,
    ) -> Import:
        try:
            rows = table_of(content, namespace, first_row=piece.first_row, now=self.business.now())
        except NoTable as error:
            raise Problem(422, str(error), errors=[FieldError("body", str(error))]) from None
        id_ = _id(piece.table or hashlib.sha256(content).hexdigest(), namespace)
        count = _Count()
        number, next_row = piece.first_row, None
        source = self._source(workspace)
        for chunk in _chunks(rows):
            usable = [r for r in chunk if isinstance(r, ContactRow) and r.number >= piece.from_row]
            try:
                if usable and not dry_run:
                    deliveries = [self._delivered(id_, row) for row in usable]
                    await self.inlet.take(source, deliveries, RAW_BULK)
            except LogAway:
                next_row = max(number, piece.from_row)
                break
            await asyncio.sleep(0)  # a large table leaves room for the door
            count.taken += len(usable)
            for row in chunk:
                if isinstance(row, BadRow) and row.number >= piece.from_row:
                    count.refuse(row)
            number += len(chunk)
        if not dry_run:
            done = next_row is None and not piece.more
            first = max(piece.first_row, piece.from_row)
            step = Step(first, max(number, first), count.taken, count.refused, done)
            await self._remember(workspace, id_, step)
        return Import(
            id=id_,
            dry_run=dry_run,
            taken=count.taken,
            refused=count.refused,
            errors=count.errors,
            next_row=next_row,
        )

    async def standing(self, workspace: WorkspaceId, table: str, namespace: str) -> ShownStanding:
        found = await self.progress.of(workspace, _id(table, namespace), now=self.wall.now())
        if found is None:
            raise Problem(404, "nothing of this table came in the last days")
        return ShownStanding.model_validate(found, from_attributes=True)

    async def _remember(self, workspace: WorkspaceId, id_: str, step: Step) -> None:
        try:
            await self.progress.add(workspace, id_, step, now=self.wall.now())
        except Exception as error:  # noqa: BLE001 - the rows are in; whoever asks again starts earlier
            logger.warning("An import's progress was not written", error=repr(error))

    def _delivered(self, id_: str, row: ContactRow) -> Delivered:
        said = {
            "identifiers": [{"type": i.type, "value": i.value} for i in row.identifiers],
            "traits": row.traits,
        }
        content = hashlib.sha256(_encode(said)).hexdigest()[:12]
        document = said | {
            "id": f"{id_} {row.number} {content}",
            "name": "contact.updated",
            "data": {},
            "occurred_at": iso(self.business.now()),
        }
        first = row.identifiers[0]
        return Delivered(
            headers={marks.HISTORICAL: "1"},
            body=_encode(document),
            entity=f"{first.type} {first.value}",
            verified=True,
        )

    def _source(self, workspace: WorkspaceId) -> Source:
        return Source(
            id=SourceId(API),
            workspace=workspace,
            kind=API,
            name=API,
            namespace="",
            state=SourceState.ACTIVE,
            created_at=self.business.now(),
        )


def routes(desk: ImportsDesk, authorise: Authorise) -> APIRouter:
    router = APIRouter(prefix="/api/v1", tags=["imports"], max_body_size=TABLE_MAX_BYTES)
    workspace: Any = Depends(authorise)

    @router.post(
        "/imports",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"text/csv": {"schema": {"type": "string"}}},
            }
        },
    )
    async def take(
        request: Request,
        namespace: Annotated[str, Query(pattern=_NAMESPACE)] = "",
        *,
        dry_run: bool = False,
        from_row: Annotated[int, Query(ge=FIRST_ROW, le=ROW_MAX)] = FIRST_ROW,
        table: Annotated[str | None, Query(pattern=_TABLE)] = None,
        first_row: Annotated[int, Query(ge=FIRST_ROW, le=ROW_MAX)] = FIRST_ROW,
        more: bool = False,
        workspace: WorkspaceId = workspace,
    ) -> Import:
        """Import contacts from the CSV table in the body, or a piece of one.

        Columns: email, phone, external_id; first_name, last_name, locale, timezone, country;
        consent_email (also _sms, _tracking) with consent_email_at and consent_email_source; any
        other becomes a trait of its name. ``more``: other pieces of ``table`` follow.
        """
        content = await request.body()
        piece = Piece(table=table, first_row=first_row, from_row=from_row, more=more)
        return await desk.take(
            workspace, content, namespace=namespace, dry_run=dry_run, piece=piece
        )

    @router.get("/imports/{table}")
    async def standing(
        table: Annotated[str, Path(pattern=_TABLE)],
        namespace: Annotated[str, Query(pattern=_NAMESPACE)] = "",
        workspace: WorkspaceId = workspace,
    ) -> ShownStanding:
        """How far a table is in: go on from ``next_row``."""
        return await desk.standing(workspace, table, namespace)

    _ = (take, standing)
    return router


def _id(table: str, namespace: str) -> str:
    return "imp_" + hashlib.sha256(f"{namespace} {table}".encode()).hexdigest()[:24]


def _chunks(
    rows: Iterator[ContactRow | BadRow | None],
) -> Iterator[Sequence[ContactRow | BadRow | None]]:
    while chunk := tuple(islice(rows, CHUNK)):
        yield chunk
